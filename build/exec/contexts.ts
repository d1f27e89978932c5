import type { BuildSurroundings } from '../container/contract.ts';
import { BuildError } from '../error.ts';
import { fetchContext } from './fetch-context.ts';
import { readIgnoreFile } from './ignore-file.ts';
import type { AdditionalContext, BuildOptions } from './options.ts';
import type { Workspace } from './workspace.ts';

/** The additional build contexts of a build; those behind URLs are fetched when first used. */
export class ContextSet {
  readonly names: ReadonlySet<string>;
  readonly #contexts: ReadonlyMap<string, AdditionalContext>;
  readonly #sshPaths: readonly string[] | undefined;
  readonly #surroundings: BuildSurroundings;
  readonly #workspace: Workspace;
  readonly #fetched = new Map<string, Promise<string>>();

  constructor(options: BuildOptions, surroundings: BuildSurroundings, workspace: Workspace) {
    this.#contexts = options.contexts;
    this.names = new Set(options.contexts.keys());
    this.#sshPaths = options.ssh?.get('default')?.paths;
    this.#surroundings = surroundings;
    this.#workspace = workspace;
  }

  get(name: string): AdditionalContext | undefined {
    return this.#contexts.get(name);
  }

  /** The host directory of a context that is no image. */
  directory(name: string): Promise<string> {
    const context = this.#contexts.get(name);
    if (!context || context.kind === 'image')
      throw new BuildError('bad-context', `build context "${name}" is no directory`);
    if (context.kind === 'directory') return Promise.resolve(context.path);
    const known = this.#fetched.get(name);
    if (known) return known;
    const sshPaths = this.#sshPaths;
    const { temporaryDirectory } = this.#workspace;
    const surroundings = { ...this.#surroundings, temporaryDirectory };
    const fetched = fetchContext(context.url, surroundings, sshPaths ? { sshPaths } : {}).then((content) => {
      this.#workspace.defer(content);
      return content.directory;
    });
    this.#fetched.set(name, fetched);
    return fetched;
  }

  /** The ignore rules of an additional context that is a local directory. */
  excludes(name: string): readonly string[] {
    const context = this.#contexts.get(name);
    return context?.kind === 'directory' ? readIgnoreFile(context.path, {}).patterns : [];
  }
}
