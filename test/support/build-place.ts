// Builds with the library in a store of its own, and checks that nothing of a build is left behind.
import { deepEqual, equal } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { buildImage } from '../../build/exec/build.ts';
import type { BuildOptions, BuildResult } from '../../build/exec/options.ts';
import { readStorageConfig, withStorageFlags } from '../../config/storage.ts';
import { platformOf } from '../../image/platform.ts';
import type { Store } from '../../store/storage/contract.ts';
import { openStore } from '../../store/storage/open.ts';

export interface BuildPlace {
  /** @param others other builds of this place go on meanwhile: what they hold is not looked at */
  build(
    text: string,
    options?: Partial<BuildOptions>,
    others?: boolean,
  ): Promise<{ result: BuildResult; text: () => string }>;
  withStore<T>(action: (store: Store) => Promise<T>): Promise<T>;
}

/** @param base an empty directory for storage and temporary files */
export function openBuildPlace(base: string, context: string): BuildPlace {
  const open = async () =>
    openStore(
      withStorageFlags(await readStorageConfig({ environment: {} }), {
        root: join(base, 'root'),
        runRoot: join(base, 'run'),
        // An ordinary user cannot mount.
        driver: process.geteuid?.() === 0 ? 'overlay' : 'vfs',
      }),
    );
  const platform = platformOf(process.platform, process.arch);
  return {
    withStore: async (action) => {
      await using store = await open();
      return await action(store);
    },
    build: async (text, options = {}, others = false) => {
      await using store = await open();
      const out = new Collector();
      const surroundings = {
        store,
        docker: { environment: {}, tlsVerify: false },
        policy: { admit: async () => undefined },
        temporaryDirectory: base,
        workingDirectory: base,
        platform,
        environment: {},
        now: () => new Date(),
      };
      try {
        const result = await buildImage(surroundings, {
          contextDirectory: context,
          files: [{ name: 'Containerfile', text }],
          arguments: new Map(),
          target: '',
          contexts: new Map(),
          platform,
          buildPlatform: platform,
          platformGiven: false,
          layers: true,
          useCache: true,
          format: 'oci',
          output: '',
          additionalTags: [],
          builderVersion: '0',
          pullPolicy: 'missing',
          run: {
            isolation: 'chroot',
            network: { mode: 'host' },
            capabilitiesAdd: [],
            capabilitiesDrop: [],
            hostEnvironment: {},
          },
          stdout: out,
          stderr: out,
          cacheDirectory: join(base, 'cache'),
          ...options,
        });
        return { result, text: () => out.text };
      } finally {
        if (!others) {
          deepEqual(await store.containers.list(), [], 'containers are left');
          const mounts = readFileSync('/proc/self/mounts', 'utf8');
          equal(mounts.includes(`${base}/slipway-`), false, 'mounts are left');
        }
      }
    },
  };
}

class Collector extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
