/**
 * How ranks without MPI meet once, before NCCL connects them: the first one listens at an address that all of them know, the
 * others connect to it, and when all are there it gives them a text.
 */
import { createServer, connect as openSocket, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { ApolloError } from '../errors.js';
import { rankFailed } from './agree.js';
import { longestLine } from './lines.js';
import type { Environment, RankPlace } from './rank.js';

interface MeetingPoint {
  readonly host: string;
  readonly port: number;
}

/** Where and as whom a rank meets the others. */
interface Visit extends MeetingPoint {
  readonly rank: number;
  readonly size: number;
  /** The launcher's name of this job; ranks of another job that connect by mistake have another one. */
  readonly job: string;
  /** When a rank gives up, as performance.now() counts. */
  readonly until: number;
  readonly seconds: number;
}

type Answer = { readonly text: string } | { readonly refused: string } | { readonly failed: true };

const retryMs = 200;
const defaultSeconds = 300;
/** @throws ApolloError BAD_CONFIG where the environment names no place, or one that cannot be. */
export function meetingPoint(env: Environment): MeetingPoint {
  const { APOLLO_MASTER: own, MASTER_ADDR: host, MASTER_PORT: port } = env;
  const [, ownHost, ownPort] = own?.match(/^\[?([^[\]]+)\]?:(\d+)$/) ?? []; // an address of IPv6 is in brackets
  if (own !== undefined && ownHost === undefined) {
    throw new ApolloError('BAD_CONFIG', `APOLLO_MASTER must be HOST:PORT; got "${own}".`);
  }
  if (ownHost !== undefined) return { host: ownHost, port: portOf('APOLLO_MASTER', ownPort!) };
  if (host === undefined || port === undefined) {
    const missing = [host === undefined && 'MASTER_ADDR', port === undefined && 'MASTER_PORT']
      .filter(Boolean)
      .join(' and ');
    throw new ApolloError(
      'BAD_CONFIG',
      `The ranks have no address to connect to: ${missing} must be set, to the host of rank 0 and a free port there, as torchrun does; ` +
        "or start the ranks with MPI's launcher.",
    );
  }
  // torchrun itself listens at the port that it hands on, for PyTorch.
  const taken = env['TORCHELASTIC_USE_AGENT_STORE'] === 'True' ? 1 : 0;
  return { host, port: portOf('MASTER_PORT', port, taken) };
}

function portOf(variable: string, text: string, above = 0): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) + above : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw new ApolloError('BAD_CONFIG', `${variable} must hold a port from 1 to ${65_535 - above}; got "${text}".`);
}

/** The longest time that a timer of Node.js takes, 24 days. */
const longestSeconds = 2_147_483;

function secondsOf(env: Environment): number {
  const { APOLLO_GROUP_TIMEOUT: text } = env;
  const seconds = text === undefined ? defaultSeconds : Number(text);
  if (seconds > 0) return Math.min(seconds, longestSeconds);
  throw new ApolloError('BAD_CONFIG', `APOLLO_GROUP_TIMEOUT must be seconds, above 0; got "${text}".`);
}

const jobVariables = ['TORCHELASTIC_RUN_ID', 'TORCHELASTIC_RESTART_COUNT', 'SLURM_JOB_ID', 'SLURM_STEP_ID'];

/**
 * The text that `make` gives on rank 0, on all ranks, once all of them have come.
 * @throws ApolloError BAD_CONFIG (meetingPoint), NO_GROUP where a rank or the place is missing, or not of this group; RANK_FAILED
 * on ranks that have met one that fails; what `make` throws.
 */
export async function textOfFirst(place: RankPlace, env: Environment, make: () => string): Promise<string> {
  const seconds = secondsOf(env);
  const visit: Visit = {
    ...meetingPoint(env),
    rank: place.rank,
    size: place.size,
    job: jobVariables.map((variable) => env[variable] ?? '').join(' '),
    until: performance.now() + 1000 * seconds,
    seconds,
  };
  return place.rank === 0 ? receiveAll(visit, make()) : visitFirst(visit);
}

const noGroup = (message: string, cause?: unknown) => new ApolloError('NO_GROUP', message, { cause });

/** The first line that comes; undefined where the other side closes before its end. */
function lineFrom(socket: Socket): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end >= 0 || text.length > longestLine) resolve(text.slice(0, end < 0 ? longestLine : end));
    });
    socket.on('error', () => resolve(undefined));
    socket.on('close', () => resolve(undefined));
  });
}

/** The message by which a rank introduces itself; undefined: it is not a rank. */
function greetingOf(line: string | undefined): Pick<Visit, 'rank' | 'size' | 'job'> | undefined {
  try {
    const { apolloLm, rank, size, job } = JSON.parse(line ?? '');
    return apolloLm === 1 && Number.isInteger(rank) ? { rank, size, job } : undefined;
  } catch {
    return undefined;
  }
}

// ---- rank 0 ----

async function receiveAll(visit: Visit, text: string): Promise<string> {
  const { host, port, size } = visit;
  const here = new Map<number, Socket>();
  const sockets = new Set<Socket>();
  const server = createServer();
  const answer = (socket: Socket, what: Answer) => socket.end(`${JSON.stringify(what)}\n`);
  let settle: (error?: ApolloError) => void = () => {};
  const complete = new Promise<void>((resolve, reject) => {
    settle = (error) => (error ? reject(error) : resolve());
  });
  server.on('connection', async (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    const greeting = greetingOf(await lineFrom(socket));
    if (!greeting) return socket.destroy();
    const { rank } = greeting;
    if (greeting.size !== size || greeting.job !== visit.job || rank < 1 || rank >= size) {
      const refused = `${host}:${port} belongs to another group, of ${size} ranks; choose another MASTER_PORT.`;
      return answer(socket, { refused });
    }
    if (here.has(rank)) {
      answer(socket, { failed: true });
      return settle(
        noGroup(
          `Rank ${rank} of ${size} connected to ${host}:${port} twice: two groups use this port. Give each its own MASTER_PORT.`,
        ),
      );
    }
    here.set(rank, socket);
    socket.on('close', () => here.get(rank) === socket && here.delete(rank));
    if (here.size === size - 1) settle();
  });
  const timer = setTimeout(() => settle(missingRanks(visit, here)), visit.until - performance.now());
  try {
    await listen(server, visit);
    await complete;
    for (const socket of here.values()) answer(socket, { text });
    await Promise.race([Promise.all([...here.values()].map(closed)), overdue(visit, here)]);
    return text;
  } catch (error) {
    for (const socket of here.values()) answer(socket, { failed: true });
    await Promise.race([Promise.all([...here.values()].map(closed)), delay(1000, undefined, { ref: false })]);
    throw error;
  } finally {
    clearTimeout(timer);
    server.close();
    for (const socket of sockets) socket.destroy();
  }
}

const closed = (socket: Socket) =>
  new Promise<void>((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });

/** Rejects when the time is up; `here` has the ranks whose connections are still open. */
async function overdue(visit: Visit, here: ReadonlyMap<number, unknown>): Promise<never> {
  await delay(Math.max(0, visit.until - performance.now()), undefined, { ref: false });
  throw absent([...here.keys()], 'connected, but did not take the answer of rank 0', visit);
}

function missingRanks(visit: Visit, here: ReadonlyMap<number, unknown>): ApolloError {
  const missing = Array.from({ length: visit.size - 1 }, (_, i) => i + 1).filter((rank) => !here.has(rank));
  return absent(missing, `did not connect to ${visit.host}:${visit.port}`, visit);
}

function absent(ranks: readonly number[], what: string, { size, seconds }: Visit): ApolloError {
  return noGroup(
    `${ranks.length} of ${size} ranks ${what} within ${seconds} s: ${ranks.slice(0, 8).join(', ')}` +
      `${ranks.length > 8 ? ', …' : ''}. Check the output of these ranks, and whether they can reach this host. ` +
      'See docs/troubleshooting.md#ranks-do-not-meet.',
  );
}

/** Listens to this machine alone where the ranks meet on it, else to all networks. */
function listen(server: Server, { host, port }: MeetingPoint): Promise<void> {
  const local = /^(localhost|127\.[\d.]+|::1)$/.test(host);
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE';
      const why = taken ? 'another program, perhaps another group of ranks, uses this port' : error.message;
      reject(
        noGroup(
          `Rank 0 cannot listen at port ${port}: ${why}. Choose another MASTER_PORT, or set APOLLO_MASTER=HOST:PORT.`,
          error,
        ),
      );
    });
    server.listen({ port, ...(local && { host }) }, resolve);
  });
}

// ---- the others ----

async function visitFirst(visit: Visit): Promise<string> {
  const { host, port, rank, size, seconds, until } = visit;
  let why = '';
  while (performance.now() < until) {
    const { line, error } = await ask(visit);
    if (line !== undefined) return textOf(line, visit);
    why = error;
    await delay(Math.max(0, Math.min(retryMs, until - performance.now())));
  }
  throw noGroup(
    `Rank ${rank} of ${size} got no answer from rank 0 at ${host}:${port} within ${seconds} s (${why}). ` +
      'Check that rank 0 runs, that MASTER_ADDR is its host and that all ranks have the same MASTER_PORT. ' +
      'See docs/troubleshooting.md#ranks-do-not-meet.',
  );
}

/** One attempt: the answer, or why there is none. */
async function ask({ host, port, rank, size, job, until }: Visit): Promise<{ line?: string; error: string }> {
  const socket = openSocket({ host, port });
  let error = 'the connection was closed';
  const timer = setTimeout(() => {
    error = socket.connecting ? 'no connection' : 'connected, without an answer';
    socket.destroy();
  }, until - performance.now());
  socket.on('error', ({ code, message }: NodeJS.ErrnoException) => {
    error = code ?? message;
  });
  socket.on('connect', () => socket.write(`${JSON.stringify({ apolloLm: 1, rank, size, job })}\n`));
  try {
    const line = await lineFrom(socket);
    return line === undefined ? { error } : { line, error };
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

function textOf(line: string, { host, port, rank }: Visit): string {
  let answer: Partial<Record<'text' | 'refused' | 'failed', unknown>>;
  try {
    answer = JSON.parse(line) ?? {};
  } catch {
    answer = {};
  }
  if (typeof answer.text === 'string') return answer.text;
  if (answer.failed === true) throw rankFailed(0);
  const why =
    typeof answer.refused === 'string'
      ? answer.refused
      : `the program that answers at ${host}:${port} is not rank 0 of apollo-lm.`;
  throw noGroup(`Rank ${rank}: ${why}`);
}
