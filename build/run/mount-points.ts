import { statSync } from 'node:fs';
import { closeDescriptor, S_IF, statDescriptor } from '../../store/kernel/index.ts';
import { BuildError } from '../error.ts';
import type { RunPlan } from './plan.ts';
import { ensureInRoot, type MadePath, openRoot, removeMade } from './rooted-path.ts';
import type { SpecMount } from './runtime-spec.ts';

/** Where Buildah and the builders before it leave an empty directory in the layer. */
const STAYING = new Set(['/dev', '/proc', '/sys']);

/**
 * Makes what a RUN needs in the root file system: its working directory and volumes, which stay, and the places that
 * things are mounted on, which go away with the returned object. Only what was made and is still empty is removed;
 * places that every container needs stay.
 * @throws BuildError `unsafe-path`, `bad-mount`
 */
export function makeMountPoints(plan: RunPlan, volumes: readonly string[]): Disposable {
  const { spec } = plan;
  using root = openRoot(spec.root.path);
  const made: MadePath[] = [];
  const undo = () => {
    using again = openRoot(spec.root.path);
    for (const path of made.toReversed()) removeMade(again, path);
  };
  try {
    ensureDirectory(root, spec.process.cwd, plan.userOwner);
    for (const volume of volumes) ensureDirectory(root, volume, plan.rootOwner);
    for (const mount of outermost(spec.mounts)) {
      const kind = mount.type === 'bind' && !statSync(mount.source).isDirectory() ? 'file' : 'directory';
      const fd = ensureInRoot(root, mount.destination, {
        kind,
        owner: plan.rootOwner,
        onMade: STAYING.has(mount.destination) ? undefined : (path) => made.push(path),
      });
      checkKind(fd, kind, mount);
    }
  } catch (error) {
    undo();
    throw error;
  }
  return { [Symbol.dispose]: undo };
}

function ensureDirectory(
  root: ReturnType<typeof openRoot>,
  path: string,
  owner: { readonly uid: number; readonly gid: number },
): void {
  closeDescriptor(ensureInRoot(root, path, { kind: 'directory', owner }));
}

function checkKind(fd: number, kind: 'file' | 'directory', mount: SpecMount): void {
  const isDirectory = (statDescriptor(fd).mode & S_IF.mask) === S_IF.directory;
  closeDescriptor(fd);
  if (isDirectory === (kind === 'directory')) return;
  const [there, wanted] = isDirectory ? ['directory', 'file'] : ['file', 'directory'];
  throw new BuildError(
    'bad-mount',
    `cannot mount on "${mount.destination}": it is a ${there}, the source a ${wanted}`,
  );
}

/** Mounts that do not lie on another one; the others find their place inside that mount. */
function outermost(mounts: readonly SpecMount[]): SpecMount[] {
  const under = (inner: string, outer: string) => inner.startsWith(outer === '/' ? '/' : `${outer}/`);
  return mounts.filter(
    (mount) => !mounts.some((other) => other !== mount && under(mount.destination, other.destination)),
  );
}
