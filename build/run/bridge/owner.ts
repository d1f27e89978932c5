import { readFileSync, readlinkSync } from 'node:fs';
import { ifThere } from '../../../errors.ts';
import { randomBytes } from '../../../store/kernel/random.ts';

const OWNER = /^slipway-(\d+)-(\d+)-(\d+)-[0-9a-f]{8}$/;

/**
 * A container id for addresses, which says by itself which process holds them, so that those of a killed one can be
 * given back: its pid namespace, its id there, and when it began.
 */
export function newOwner(): string {
  const began = beginOf(process.pid);
  return `slipway-${pidNamespace()}-${process.pid}-${began}-${randomBytes(4).toString('hex')}`;
}

/** True only for an owner of ours that this process would see if it were alive. */
export function isDeadOwner(owner: string): boolean {
  const [, namespace, pid, began] = OWNER.exec(owner) ?? [];
  return namespace === pidNamespace() && beginOf(Number(pid)) !== began;
}

function pidNamespace(): string {
  return readlinkSync('/proc/self/ns/pid').replaceAll(/\D/g, '');
}

/** In clock ticks since the machine's start; undefined where there is no such process. */
function beginOf(pid: number): string | undefined {
  const stat = ifThere(() => readFileSync(`/proc/${pid}/stat`, 'utf8'), 'ENOENT', 'ESRCH');
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
