/**
 * How ranks learn that one of them has died: each keeps a connection to the first, which the system closes when a process
 * ends, for any reason. Nothing else reports this: a collective waits for a rank that is gone as for one that is slow.
 */
import { randomBytes } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { fromFirst } from './agree.js';
import type { Group } from './group.js';
import { onLines } from './lines.js';

/** A rank that has ended before the group has. */
export interface EndedRank {
  readonly rank: number;
  readonly host: string;
  readonly pid: number;
  /** `failed`: by an error that it reports itself. `lost`: without a message. */
  readonly how: 'failed' | 'lost';
}

export interface RankWatch {
  /** Ranks that have no connection to the first one: only their launcher knows their state. */
  readonly unwatched: readonly number[];
  /** Informs the other ranks that this one ends with an error that it reports. */
  failed(): Promise<void>;
  /** Informs them that this one has reached the end of the group. */
  done(): Promise<void>;
}

/** Address of the first rank. */
interface Meeting {
  readonly host: string;
  readonly addresses: readonly string[];
  readonly port: number;
  /** Keeps others out who find the port. */
  readonly secret: string;
}

interface Member {
  readonly rank: number;
  readonly host: string;
  readonly pid: number;
}

/** Lines between the first rank and another. */
type Message =
  | ({ readonly type: 'hello'; readonly secret: string } & Member)
  | ({ readonly type: 'welcome' } & Member)
  | { readonly type: 'done' }
  | { readonly type: 'failed' }
  | { readonly type: 'ended'; readonly ended: EndedRank };

/** Milliseconds without a sign of life after which the system asks whether the other host is there; it gives up 10 s later. */
const keepAliveMs = 10_000;
const connectMs = 3000;

/** The message of a line; undefined where it is no JSON object: it comes from something else than a rank. */
function messageOf(line: string): Message | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Message) : undefined;
  } catch {
    return undefined;
  }
}

/** One connection, in lines of JSON. */
class Wire {
  #done = false;

  constructor(
    readonly socket: Socket,
    onMessage: (message: Message) => void,
    onClose: () => void,
  ) {
    socket.setKeepAlive(true, keepAliveMs).setNoDelay(true).unref();
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => {
      if (!this.#done) onClose();
    });
    onLines(socket, (line) => {
      const message = messageOf(line);
      if (!message) {
        socket.destroy();
        return;
      }
      if (message.type === 'done' || message.type === 'failed') this.#done = true;
      onMessage(message);
    });
  }

  send(message: Message): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.destroyed) resolve();
      else this.socket.write(`${JSON.stringify(message)}\n`, () => resolve());
    });
  }
}

/**
 * Starts to watch the ranks of a group. `onEnded` is called once at most, with the first rank that ends before `done`
 * of which this one gets to know. Collective.
 */
export async function watchRanks(group: Group, onEnded: (ended: EndedRank) => void): Promise<RankWatch> {
  let known = false;
  const ended = (rank: EndedRank) => {
    if (!known) onEnded(rank);
    known = true;
  };
  const self = { rank: group.rank, host: group.host, pid: process.pid };
  let hub: Hub | undefined;
  const meeting = await fromFirst<Meeting>(group, async () => {
    hub = await Hub.open(self, ended);
    return hub.meeting;
  });
  const wire = hub ? undefined : await reach(meeting, self, ended);
  const joined = (rank: number) => Number(rank === group.rank && (rank === 0 || wire !== undefined));
  const reached = await group.sum(Array.from({ length: group.size }, (_, rank) => joined(rank)));
  hub?.admitNoMore();
  const wires = (): readonly Wire[] => (hub ? hub.wires : wire ? [wire] : []);
  const tell = async (type: 'done' | 'failed') => {
    await Promise.all(wires().map((each) => each.send({ type })));
  };
  return {
    unwatched: reached.flatMap((count, rank) => (count === 0 ? [rank] : [])),
    failed: () => {
      known = true; // later actions of others are a consequence
      return tell('failed');
    },
    done: () => tell('done'),
  };
}

/** The first rank's side. */
class Hub {
  readonly wires: Wire[] = [];
  /** Connections that have not introduced themselves. */
  readonly #strangers = new Set<Socket>();

  private constructor(
    readonly meeting: Meeting,
    readonly server: Server,
  ) {}

  static async open(self: Member, onEnded: (ended: EndedRank) => void): Promise<Hub> {
    const secret = randomBytes(16).toString('hex');
    const server = createServer((socket) => hub.#admit(socket, self, onEnded)).unref();
    const port = await new Promise<number>((resolve, reject) => {
      server.on('error', reject).listen(0, () => resolve((server.address() as { port: number }).port));
    });
    const hub = new Hub({ host: self.host, addresses: ownAddresses(), port, secret }, server);
    return hub;
  }

  /** Called when all ranks that can connect have done so. */
  admitNoMore(): void {
    this.server.close();
    for (const socket of this.#strangers) socket.destroy();
  }

  #admit(socket: Socket, self: Member, onEnded: (ended: EndedRank) => void): void {
    let member: Member | undefined;
    this.#strangers.add(socket);
    const timer = setTimeout(() => socket.destroy(), connectMs).unref();
    const introduced = () => {
      clearTimeout(timer);
      this.#strangers.delete(socket);
    };
    socket.on('close', introduced);
    const report = (how: EndedRank['how']) => {
      if (!member) return;
      const ended = { ...member, how };
      onEnded(ended);
      for (const other of this.wires) if (other !== wire) other.send({ type: 'ended', ended });
    };
    const wire = new Wire(
      socket,
      (message) => {
        if (message.type === 'hello' && message.secret === this.meeting.secret) {
          const { rank, host, pid } = message;
          member = { rank, host, pid };
          introduced();
          this.wires.push(wire);
          wire.send({ type: 'welcome', ...self });
        } else if (!member) socket.destroy();
        else if (message.type === 'failed') report('failed');
      },
      () => report('lost'),
    );
  }
}

/** The connection of another rank to the first; undefined where none of its addresses answers. */
async function reach(
  { host, addresses, port, secret }: Meeting,
  self: Member,
  onEnded: (ended: EndedRank) => void,
): Promise<Wire | undefined> {
  for (const address of [...(host === self.host ? ['127.0.0.1', '::1'] : []), ...addresses]) {
    const wire = await greeted(connect({ host: address, port }), { type: 'hello', secret, ...self }, onEnded);
    if (wire) return wire;
  }
  return undefined;
}

function greeted(socket: Socket, hello: Message, onEnded: (ended: EndedRank) => void): Promise<Wire | undefined> {
  return new Promise((resolve) => {
    let first: Member | undefined;
    const timer = setTimeout(() => socket.destroy(), connectMs);
    const wire = new Wire(
      socket,
      (message) => {
        if (message.type === 'welcome') {
          clearTimeout(timer);
          first = message;
          resolve(wire);
        } else if (message.type === 'failed' && first) onEnded(endedOf(first, 'failed'));
        else if (message.type === 'ended') onEnded(message.ended);
      },
      () => {
        clearTimeout(timer);
        if (first) onEnded(endedOf(first, 'lost'));
        else resolve(undefined);
      },
    );
    socket.on('connect', () => wire.send(hello));
  });
}

const endedOf = ({ rank, host, pid }: Member, how: EndedRank['how']): EndedRank => ({ rank, host, pid, how });

/** The addresses of this machine by which others may reach it. */
function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).filter(({ internal, scopeid }) => !internal && !scopeid).map(({ address }) => address),
  );
}
