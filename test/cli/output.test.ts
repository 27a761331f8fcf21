import { EventEmitter } from 'node:events';
import t from 'tap';
import { interruptible, stoppedByReader, stoppedExitCode } from '../../lib/cli/interrupt.js';
import { isClosed, ProcessOutput, warnOfLostOutput } from '../../lib/cli/output.js';
import { memoryIo } from './support.js';

/** A stream whose write does what a test says. */
function output(write: (stream: EventEmitter) => void) {
  const stream = new EventEmitter() as EventEmitter & { write(text: string): boolean };
  const written: string[] = [];
  stream.write = (text) => {
    write(stream);
    written.push(text);
    return true;
  };
  return { out: new ProcessOutput(stream as unknown as NodeJS.WriteStream), written };
}

const systemError = (code: string) => Object.assign(new Error(code), { code, errno: -1, syscall: 'write' });

t.test('an error of writing is kept, told once, and what follows is dropped', async (t) => {
  for (const [name, fail] of [
    [
      'thrown',
      () => {
        throw systemError('ENOSPC');
      },
    ],
    ['emitted', (stream: EventEmitter) => stream.emit('error', systemError('ENOSPC'))],
  ] as const) {
    const { out, written } = output(fail);
    const told: string[] = [];
    const off = out.onLost((error) => told.push(error.message));
    const warned: string[] = [];
    warnOfLostOutput(out, (text) => warned.push(text));
    out.write('one');
    out.write('two');
    t.same(told, ['ENOSPC'], name);
    t.match(warned, [/no space is left on the disk \(ENOSPC\)\. The run continues/]);
    t.notOk(isClosed(out));
    t.ok(written.length <= 1);
    off();
  }
});

t.test('a reader that has gone stops a run with an exit code of its own', async (t) => {
  const { out } = output((stream) => stream.emit('error', systemError('EPIPE')));
  const warned: string[] = [];
  warnOfLostOutput(out, (text) => warned.push(text));
  const causes: boolean[] = [];
  const code = await interruptible(
    { ...memoryIo(), stdout: out },
    (byReader) => causes.push(byReader),
    async (signal) => {
      t.notOk(signal.aborted);
      out.write('event');
      t.ok(stoppedByReader(signal));
      return stoppedExitCode(signal);
    },
  );
  t.equal(code, 141);
  t.same(causes, [true]);
  t.same(warned, [], 'it is no error');
  t.ok(isClosed(out));
});

t.test('a second Ctrl-C leaves at once, a second SIGHUP does not', async (t) => {
  const io = memoryIo();
  let time = 0;
  const later = { ...io, now: () => (time += 1000) };
  const code = await interruptible(
    later,
    () => {},
    async (signal) => {
      io.interrupt('SIGHUP');
      t.ok(signal.aborted);
      io.interrupt('SIGHUP');
      t.same(io.exits, []);
      io.interrupt('SIGTERM');
      t.same(io.exits, [130]);
      return stoppedExitCode(signal);
    },
  );
  t.equal(code, 130);
});
