/** Text from a socket in lines. */
import type { Socket } from 'node:net';

/** A line of more characters comes from something else than a rank. */
export const longestLine = 65_536;

/** Calls `onLine` with each line that comes; one that is too long ends the connection. */
export function onLines(socket: Socket, onLine: (line: string) => void): void {
  let text = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    const lines = (text + chunk).split('\n');
    text = lines.pop() as string;
    for (const line of lines) if (!socket.destroyed) onLine(line);
    if (text.length > longestLine) socket.destroy();
  });
}
