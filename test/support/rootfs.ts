import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** Commands that {@link makeRootfs} copies when nothing else is asked for; those the machine lacks are left out. */
const DEFAULT_COMMANDS = [
  'sh',
  'cat',
  'ls',
  'id',
  'sleep',
  'touch',
  'mkdir',
  'rm',
  'ln',
  'env',
  'head',
  'true',
];
const SEARCH = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin'];

export interface RootfsOptions {
  /** Names of this machine's commands to copy beside the default ones. */
  readonly commands?: readonly string[];
  /** Lines of /etc/passwd and /etc/group. */
  readonly passwd?: readonly string[];
  readonly group?: readonly string[];
}

/**
 * Fills `directory` (made when missing) with a small root file system out of this machine's own shell, core tools
 * and the libraries they need. Works for every user; files belong to the caller.
 */
export function makeRootfs(directory: string, options: RootfsOptions = {}): string {
  for (const name of ['bin', 'etc', 'tmp', 'usr', 'root'])
    mkdirSync(join(directory, name), { recursive: true });
  chmodSync(join(directory, 'tmp'), 0o1777);
  if (!existsSync(join(directory, 'usr/bin'))) symlinkSync('../bin', join(directory, 'usr/bin'));
  const copied = new Set<string>();
  for (const command of [...DEFAULT_COMMANDS, ...(options.commands ?? [])]) {
    const found = SEARCH.map((path) => join(path, command)).find((path) => existsSync(path));
    if (found === undefined) continue;
    const source = realpathSync(found);
    install(source, join(directory, 'bin', command));
    for (const library of librariesOf(source)) {
      if (copied.has(library)) continue;
      copied.add(library);
      install(realpathSync(library), join(directory, library));
    }
  }
  const passwd = ['root:x:0:0:root:/root:/bin/sh', 'user:x:1000:1000::/home/user:/bin/sh'];
  const group = ['root:x:0:', 'user:x:1000:', 'wheel:x:10:user', 'users:x:100:other,user'];
  writeFileSync(join(directory, 'etc/passwd'), `${(options.passwd ?? passwd).join('\n')}\n`);
  writeFileSync(join(directory, 'etc/group'), `${(options.group ?? group).join('\n')}\n`);
  return directory;
}

function install(source: string, target: string): void {
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(source, target);
  chmodSync(target, statSync(source).mode & 0o777);
}

/** What the dynamic linker would load, by absolute path; nothing for static programs and scripts. */
function librariesOf(program: string): string[] {
  const { stdout, status } = spawnSync('ldd', [program], { encoding: 'utf8' });
  if (status !== 0) return [];
  return [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] ?? '');
}
