/**
 * A headless Chromium for tests of pages, spoken to by the DevTools protocol over two pipes. Found by APOLLO_CHROMIUM or on
 * the PATH; never downloaded.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];

/** The browser's path, or the reason to skip a test that needs one. */
export function findChromium(): { readonly path: string; readonly skip: string | false } {
  const named = process.env['APOLLO_CHROMIUM'];
  const places = (process.env['PATH'] ?? '').split(delimiter);
  const candidates = named ? [named] : names.flatMap((name) => places.map((place) => join(place, name)));
  for (const path of candidates) {
    try {
      accessSync(path, constants.X_OK);
      return { path, skip: false };
    } catch {
      // the next one
    }
  }
  return { path: '', skip: 'needs Chromium (on the PATH, or named by APOLLO_CHROMIUM)' };
}

type Reply = { id?: number; method?: string; params?: any; sessionId?: string; result?: any; error?: any };

export class Browser {
  readonly #process: ChildProcess;
  readonly #profile: string;
  readonly #waiting = new Map<number, { done: (result: any) => void; failed: (error: Error) => void }>();
  readonly #listeners = new Set<(reply: Reply) => void>();
  #last = 0;

  private constructor(process: ChildProcess, profile: string) {
    this.#process = process;
    this.#profile = profile;
    let rest = '';
    (process.stdio[4] as Readable).setEncoding('utf8').on('data', (chunk: string) => {
      const messages = (rest + chunk).split('\0');
      rest = messages.pop()!;
      for (const message of messages) this.#take(JSON.parse(message) as Reply);
    });
    process.on('exit', (code) => {
      for (const { failed } of this.#waiting.values()) failed(new Error(`the browser ended with ${code}`));
      this.#waiting.clear();
    });
  }

  static async open(path: string): Promise<Browser> {
    const profile = mkdtempSync(join(tmpdir(), 'apollo-browser-'));
    const root = process.getuid?.() === 0;
    const options = ['--headless=new', '--remote-debugging-pipe', `--user-data-dir=${profile}`, '--no-first-run'];
    // Chromium's own sandbox refuses root, as which containers run; the pages are ours.
    options.push('--disable-gpu', '--disable-dev-shm-usage', ...(root ? ['--no-sandbox'] : []));
    const child = spawn(path, options, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    const browser = new Browser(child, profile);
    await browser.send('Browser.getVersion');
    return browser;
  }

  async page(size = { width: 1400, height: 1000 }): Promise<Page> {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this, sessionId);
    for (const domain of ['Page', 'Runtime', 'Log']) await page.send(`${domain}.enable`);
    await page.send('Emulation.setDeviceMetricsOverride', { ...size, deviceScaleFactor: 1, mobile: false });
    return page;
  }

  send(method: string, params: object = {}, sessionId?: string): Promise<any> {
    const id = ++this.#last;
    (this.#process.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((done, failed) => this.#waiting.set(id, { done, failed }));
  }

  listen(listener: (reply: Reply) => void): void {
    this.#listeners.add(listener);
  }

  async close(): Promise<void> {
    const ended = new Promise((done) => this.#process.once('exit', done));
    await this.send('Browser.close').catch(() => {});
    await ended;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  #take(reply: Reply): void {
    if (reply.id === undefined) {
      for (const listener of this.#listeners) listener(reply);
      return;
    }
    const { done, failed } = this.#waiting.get(reply.id) ?? {};
    this.#waiting.delete(reply.id);
    if (reply.error) failed?.(new Error(`${reply.error.message}`));
    else done?.(reply.result);
  }
}

export class Page {
  /** Errors that the page logged, threw or met when it loaded something. */
  readonly errors: string[] = [];

  constructor(
    private readonly browser: Browser,
    private readonly session: string,
  ) {
    browser.listen(({ method, params, sessionId }) => {
      if (sessionId !== session) return;
      if (method === 'Runtime.exceptionThrown') this.errors.push(describe(params.exceptionDetails));
      if (method === 'Runtime.consoleAPICalled' && ['error', 'warning'].includes(params.type)) {
        this.errors.push(params.args.map((each: any) => each.value ?? each.description).join(' '));
      }
      if (method === 'Log.entryAdded' && ['error', 'warning'].includes(params.entry.level)) {
        this.errors.push(`${params.entry.text} ${params.entry.url ?? ''}`);
      }
    });
  }

  send(method: string, params: object = {}): Promise<any> {
    return this.browser.send(method, params, this.session);
  }

  /** Opens an address and waits until the page and its scripts have loaded. */
  async go(url: string): Promise<void> {
    const loaded = new Promise<void>((done) => {
      this.browser.listen(({ method, sessionId }) => {
        if (sessionId === this.session && method === 'Page.loadEventFired') done();
      });
    });
    const { errorText } = await this.send('Page.navigate', { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await loaded;
  }

  /** The value of an expression in the page; promises are awaited. */
  async value(expression: string): Promise<any> {
    const options = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', options);
    if (exceptionDetails) throw new Error(describe(exceptionDetails));
    return result.value;
  }

  /** Waits until an expression in the page is true, looking at each change of the page and ten times a second. */
  async until(expression: string): Promise<void> {
    await this.value(`new Promise((done) => {
      const look = () => { if (${expression}) { clearInterval(timer); done() } };
      const timer = setInterval(look, 100);
      look();
    })`);
  }

  /** A picture of the whole page as PNG. */
  async picture(): Promise<Buffer> {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
    return Buffer.from(data, 'base64');
  }
}

function describe({ text, exception }: any): string {
  return exception?.description ?? text;
}
