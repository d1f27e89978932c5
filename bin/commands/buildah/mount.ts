import { mountContainer } from '../../../build/container/mount.ts';
import { saveContainer } from '../../../build/container/state.ts';
import { goJsonText } from '../../../image/go-json.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { refuseLateFlags, usage } from './arguments.ts';
import { allContainers, findContainer } from './containers-in-store.ts';
import { forEach } from './for-each.ts';
import { openSession, type Session } from './session.ts';

export const mount: CommandSpec = {
  name: 'mount',
  summary: "Mount a working container's root file system",
  description:
    'Prints where each is mounted; without names, lists those that are. An ordinary user needs `buildah unshare`.',
  usage: '[flags] [CONTAINER...]',
  flags: [
    { name: 'json', kind: 'bool', usage: 'print JSON' },
    { name: 'notruncate', kind: 'bool', usage: 'print whole paths', hidden: true },
  ],
  interspersed: false,
  run: runMount,
};

interface MountRow {
  readonly container?: string;
  readonly mountPoint: string;
}

async function runMount(context: CommandContext): Promise<void> {
  const { args, flags } = context;
  refuseLateFlags(args);
  await using session = await openSession(context);
  const rows: MountRow[] = [];
  const json = flags.bool('json');
  const emit = (row: MountRow) => {
    if (json) rows.push(row);
    else context.print(row.container === undefined ? row.mountPoint : `${row.container} ${row.mountPoint}`);
  };
  try {
    if (args.length === 0) for (const row of await mountedContainers(session)) emit(row);
    else await mountThem(context, session, emit);
  } finally {
    if (json) context.print(goJsonText(rows.length ? rows : null, '    '));
  }
}

async function mountThem(
  context: CommandContext,
  session: Session,
  emit: (row: MountRow) => void,
): Promise<void> {
  const { args } = context;
  if (process.geteuid?.() !== 0 && session.store.driver !== 'vfs')
    throw usage(
      `cannot mount using driver ${session.store.driver} in rootless mode. You need to run it in a \`buildah unshare\` session`,
    );
  await forEach(context, args, async (name) => {
    const container = await findContainer(session, name);
    const mountPoint = await mountContainer(session.store, container);
    emit(args.length > 1 ? { container: name, mountPoint } : { mountPoint });
  });
}

async function mountedContainers(session: Session): Promise<MountRow[]> {
  const rows: MountRow[] = [];
  for (const container of await allContainers(session)) {
    const count = await session.store.layers.mounted(container.layerId);
    const mountPoint = count > 0 ? await session.store.layers.mountPoint(container.layerId) : undefined;
    if (mountPoint !== container.mountPoint) await saveContainer(session.store, { ...container, mountPoint });
    if (mountPoint) rows.push({ container: container.name, mountPoint });
  }
  return rows;
}
