/**
 * The dashboard's server: the page and a stream of server-sent events, on this machine's loopback interface only. A request
 * must name a loopback host, so that no website can reach it through a name of its own (DNS rebinding).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ApolloError } from '../../errors.js';
import { contentSecurityPolicy, type Dashboard, pageFiles } from '../../report/dashboard/index.js';

const loopback = '127.0.0.1';
const allowedHosts: ReadonlySet<string> = new Set(['localhost', loopback, '[::1]']);

/** Milliseconds between two messages, between two signs of life, and before a page that lost the server asks again. */
const messageMs = 500;
const keepAliveMs = 15_000;
const retryMs = 2000;
/** How long a page may take to hear of the end; one that does not read must not hold the command up. */
const patienceMs = 1000;
/** Bytes waiting for a page that does not read; beyond it is let go, and comes back for everything. */
const backlogBytes = 8 * 2 ** 20;

const commonHeaders = {
  'Content-Security-Policy': contentSecurityPolicy,
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
};

export class DashboardServer {
  readonly #dashboard: Dashboard;
  readonly #server: Server;
  readonly #pages = new Set<ServerResponse>();
  #timer: NodeJS.Timeout | undefined;
  readonly #keepAlive: NodeJS.Timeout;

  private constructor(dashboard: Dashboard, server: Server) {
    this.#dashboard = dashboard;
    this.#server = server;
    server.on('request', (request, response) => void this.#answer(request, response));
    this.#keepAlive = setInterval(() => this.#send(': still here\n\n'), keepAliveMs).unref();
  }

  /**
   * Listens on the first of `ports` that is free; 0 is any.
   * @throws ApolloError BAD_CONFIG when none is.
   */
  static async open(dashboard: Dashboard, ports: readonly number[]): Promise<DashboardServer> {
    let reason = '';
    for (const port of ports) {
      const server = createServer();
      const problem = await listen(server, port);
      if (!problem) return new DashboardServer(dashboard, server);
      reason = problem.code === 'EADDRINUSE' ? `port ${port} is in use` : problem.message;
    }
    throw new ApolloError('BAD_CONFIG', `--dashboard: ${reason}. Name another port, or none for one that is free.`);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://${loopback}:${this.port}/`;
  }

  /** Marks the dashboard as changed; pages are updated soon, with several changes at once. */
  changed(): void {
    this.#timer ??= setTimeout(() => this.flush(), messageMs).unref();
  }

  /** Updates the pages now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#send(message('update', this.#dashboard.changes()));
  }

  /** Sends what is left and ends all connections. */
  async close(): Promise<void> {
    this.flush();
    clearInterval(this.#keepAlive);
    const pages = [...this.#pages].map((page) => new Promise<void>((done) => page.on('close', done).end()));
    const closed = new Promise((done) => this.#server.close(done));
    const patience = new Promise((done) => setTimeout(done, patienceMs).unref());
    await Promise.race([Promise.all(pages), patience]);
    this.#server.closeAllConnections();
    await closed;
  }

  #send(text: string): void {
    for (const page of this.#pages) {
      if (page.writableLength > backlogBytes) page.destroy();
      else page.write(text);
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const refuse = (status: number, text: string) => {
      response.writeHead(status, { ...commonHeaders, 'Content-Type': 'text/plain; charset=utf-8' });
      response.end(`${text}\n`);
    };
    if (!allowedHosts.has(hostOf(request))) {
      return refuse(403, `This dashboard answers at ${this.url} only.`);
    }
    if (request.method !== 'GET') return refuse(405, 'Only GET is answered here.');
    const path = (request.url ?? '/').split('?')[0]!;
    if (path === '/events') return this.#stream(response);
    const file = pageFiles.get(path);
    if (!file) return refuse(404, 'There is no such page.');
    try {
      const body = await file.read();
      response.writeHead(200, { ...commonHeaders, 'Content-Type': file.contentType });
      response.end(body);
    } catch (error) {
      refuse(500, `${path} cannot be read: ${(error as Error).message}`);
    }
  }

  #stream(response: ServerResponse): void {
    response.writeHead(200, { ...commonHeaders, 'Content-Type': 'text/event-stream' });
    response.write(`retry: ${retryMs}\n\n${message('snapshot', this.#dashboard.snapshot())}`);
    this.#pages.add(response);
    response.on('close', () => this.#pages.delete(response));
  }
}

/** Undefined once it listens. */
function listen(server: Server, port: number): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    server.once('error', resolve);
    server.listen({ host: loopback, port }, () => {
      server.off('error', resolve);
      resolve(undefined);
    });
  });
}

/** The host of a request without its port, which differs where it was forwarded. */
function hostOf({ headers }: IncomingMessage): string {
  return (headers.host ?? '').toLowerCase().replace(/:\d+$/, '');
}

function message(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
