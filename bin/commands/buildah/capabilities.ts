import type { CommandContext } from '../../cli/contract.ts';
import { usage } from './arguments.ts';
import { containersConfig } from './containers-conf.ts';

const KNOWN = new Set(
  (
    'AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH ' +
    'FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN ' +
    'NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT ' +
    'SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM'
  )
    .split(' ')
    .map((name) => `CAP_${name}`),
);

/** The defaults of containers.conf with the given ones added and dropped, sorted; `all` stands for every one. */
export async function effectiveCapabilities(
  context: CommandContext,
  add: readonly string[],
  drop: readonly string[],
): Promise<string[]> {
  const added = add.map(normalise);
  const dropped = drop.map(normalise);
  for (const name of added)
    if (dropped.includes(name)) throw usage(`capability "${name}" cannot be dropped and added`);
  const base = dropped.includes('ALL')
    ? []
    : added.includes('ALL')
      ? [...KNOWN]
      : (await containersConfig(context)).containers.default_capabilities;
  const wanted = new Set([...base, ...added.filter((name) => name !== 'ALL')]);
  for (const name of dropped) wanted.delete(name);
  return [...wanted].sort();
}

function normalise(text: string): string {
  const upper = text.toUpperCase();
  if (upper === 'ALL') return upper;
  const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (!KNOWN.has(name)) throw usage(`unknown capability "${text}"`);
  return name;
}
