import type { CommandSpec, FlagSpec } from '../../../cli/contract.ts';
import { signingFlags } from '../../../cli/image-signers.ts';
import { push as buildahPush } from '../../buildah/push.ts';

const OWN: readonly FlagSpec[] = [
  ...signingFlags(),
  { name: 'compress', kind: 'bool', usage: 'compress the layers of a dir: destination' },
  {
    name: 'disable-content-trust',
    kind: 'bool',
    usage: 'accepted for scripts',
    noEffect: 'policy.json decides about trust',
  },
];
const NAMES = new Set(OWN.map(({ name }) => name));

/** `slipway push`: podman push, which is buildah's with more ways to sign. */
export const push: CommandSpec = {
  ...buildahPush,
  usage: '[flags] IMAGE [DESTINATION]',
  examples: ['slipway push app docker://registry.example.com/app:1.0', 'slipway push app oci:layout:1.0'],
  flags: [...(buildahPush.flags ?? []).filter(({ name }) => !NAMES.has(name)), ...OWN],
  interspersed: true,
};
