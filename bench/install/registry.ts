/**
 * A registry on this machine for packages that are not published: what npm asks for the tarballs of scripts/package.mjs. It
 * has every package of the scope; those without a tarball are of other platforms, and npm reads no more than that.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

export interface LocalRegistry {
  readonly url: string;
  close(): Promise<void>;
}

export interface LocalPackage {
  readonly name: string;
  readonly version: string;
  /** os, cpu, libc. */
  readonly fields: object;
}

/** `@scope/name` to `scope-name-1.0.0.tgz`, as `npm pack` names it. */
const fileOf = ({ name, version }: LocalPackage) => `${name.replace(/^@/, '').replace('/', '-')}-${version}.tgz`;

export async function serveTarballs(folder: string, packages: readonly LocalPackage[]): Promise<LocalRegistry> {
  const documentOf = (local: LocalPackage, url: string) => {
    const file = join(folder, fileOf(local));
    const bytes = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
    const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
    const dist = { tarball: `${url}/${fileOf(local)}`, integrity };
    const manifest = { name: local.name, version: local.version, ...local.fields, dist };
    return { name: local.name, 'dist-tags': { latest: local.version }, versions: { [local.version]: manifest } };
  };
  const server = createServer((request, response) => {
    const url = `http://${request.headers.host}`;
    const path = decodeURIComponent(request.url ?? '').slice(1);
    const named = packages.find(({ name }) => name === path);
    const packed = packages.map(fileOf).find((name) => name === path);
    if (named) {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(documentOf(named, url)));
    } else if (packed && existsSync(join(folder, packed))) {
      response.setHeader('content-type', 'application/octet-stream').end(readFileSync(join(folder, packed)));
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}
