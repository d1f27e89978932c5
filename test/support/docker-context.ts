// A context for registries on loopback that reads nothing of this machine.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DockerAccess, TransportContext } from '../../transport/contract.ts';

/** An empty home, removed at exit. */
export const EMPTY_HOME = mkdtempSync(join(tmpdir(), 'slipway-home-'));
writeFileSync(join(EMPTY_HOME, 'registries.conf'), '');
process.on('exit', () => rmSync(EMPTY_HOME, { recursive: true, force: true }));

/** Fast retries, no configuration files, http allowed. */
export function dockerContext(
  access: Partial<DockerAccess> = {},
  context: Partial<TransportContext> = {},
): TransportContext & { readonly docker: DockerAccess } {
  return {
    platform: { os: 'linux', architecture: 'amd64' },
    temporaryDirectory: tmpdir(),
    ...context,
    docker: {
      environment: { HOME: EMPTY_HOME, XDG_RUNTIME_DIR: EMPTY_HOME, PATH: process.env.PATH },
      registriesFile: join(EMPTY_HOME, 'registries.conf'),
      registriesDropInDirectory: join(EMPTY_HOME, 'registries.conf.d'),
      registriesDirectory: join(EMPTY_HOME, 'registries.d'),
      certsDirectories: [],
      tlsVerify: false,
      retryDelayMs: 5,
      stallTimeoutMs: 5000,
      ...access,
    },
  };
}
