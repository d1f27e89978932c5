import type { CommandSpec } from '../../../cli/contract.ts';
import { tag as buildahTag } from '../../buildah/tag.ts';

/** `slipway tag`: podman tag, which is buildah's. */
export const tag: CommandSpec = {
  ...buildahTag,
  usage: 'IMAGE TARGET_NAME [TARGET_NAME...]',
  examples: ['slipway tag app registry.example.com/team/app:1.0'],
};
