import { hostIds } from '../../../store/storage/id-mappings.ts';
import type { MountContext } from './prepare.ts';

/** The host's ids of the owner that a mount names, root without one. */
export function ownerOf(
  spec: { readonly uid?: number; readonly gid?: number },
  context: MountContext,
): { readonly uid: number; readonly gid: number } {
  return hostIds(context.idMappings, { uid: spec.uid ?? 0, gid: spec.gid ?? 0 });
}
