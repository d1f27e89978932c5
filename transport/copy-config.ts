import { Readable } from 'node:stream';
import type { Descriptor } from '../image/descriptor.ts';
import type { Digest } from '../image/digest.ts';
import type { Reuse } from './copy-layer.ts';
import type { CopySession } from './copy-session.ts';

/** A config and what its manifest says of it. */
export interface Config {
  readonly bytes: Uint8Array;
  readonly descriptor: Descriptor;
}

/** How a config came to be at the destination. */
type Outcome = Reuse['how'] | { readonly movedBytes: number };

/**
 * Brings the config of an image to the destination. Registries are asked and told of it while the layers are on their
 * way: three round trips less to wait for. What nobody names in the end, the registry's garbage collection takes.
 */
export class ConfigCopier implements AsyncDisposable {
  readonly #session: CopySession;
  readonly #stop = new AbortController();
  #ahead: { readonly digest: Digest; readonly outcome: Promise<Outcome> } | undefined;

  constructor(session: CopySession) {
    this.#session = session;
  }

  /** Goes ahead with the config that the manifest will most likely name. */
  start(config: Config): void {
    const { destination, options } = this.#session;
    if (destination.reference.transport !== 'docker') return;
    const signal = options.signal ? AbortSignal.any([options.signal, this.#stop.signal]) : this.#stop.signal;
    const outcome = this.#bring(config, false, signal);
    outcome.catch(() => {});
    this.#ahead = { digest: config.descriptor.digest, outcome };
  }

  /** @param anew sends the config whatever the destination says that it has */
  async put(config: Config, anew: boolean): Promise<void> {
    const session = this.#session;
    const { descriptor } = config;
    session.report({ type: 'started', what: 'config', descriptor });
    const started = anew ? undefined : await this.#started(descriptor.digest);
    const outcome = started ?? (await this.#bring(config, anew, session.options.signal));
    if (typeof outcome === 'string') session.count(outcome);
    else session.count('moved', outcome.movedBytes);
    session.report({ type: 'done', what: 'config', descriptor });
  }

  /** What going ahead came to, asked for once; undefined where it failed: the second try tells why. */
  async #started(digest: Digest): Promise<Outcome | undefined> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead?.digest === digest ? await ahead.outcome.catch(() => undefined) : undefined;
  }

  async #bring({ bytes, descriptor }: Config, anew: boolean, signal?: AbortSignal): Promise<Outcome> {
    const { destination } = this.#session;
    const options = { isConfig: true, ...(signal ? { signal } : {}) };
    const present = anew ? undefined : await destination.tryReuseBlob(descriptor, options);
    if (present) return present.how;
    const blob = { stream: Readable.from([bytes]), sizeBytes: bytes.length };
    return { movedBytes: (await destination.putBlob(blob, descriptor, options)).size };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#ahead?.outcome.catch(() => {});
  }
}
