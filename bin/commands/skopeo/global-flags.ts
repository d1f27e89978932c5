import type { FlagSpec } from '../../cli/contract.ts';

/** Flags of the `skopeo` command itself, which every subcommand takes too. */
export const GLOBAL_FLAGS: readonly FlagSpec[] = [
  { name: 'debug', kind: 'bool', usage: 'say on stderr what is done' },
  {
    name: 'tls-details',
    kind: 'string',
    usage: 'read TLS limits from the containers-tls-details.yaml in `FILE`',
  },
  { name: 'policy', kind: 'string', usage: 'decide about images by the trust policy in `FILE`' },
  { name: 'insecure-policy', kind: 'bool', usage: 'accept every image, whatever the trust policy says' },
  { name: 'require-signed', kind: 'bool', usage: 'refuse images whose signatures nothing has checked' },
  {
    name: 'registries.d',
    kind: 'string',
    usage: 'read where registries keep signatures from the files in `DIR`',
  },
  { name: 'registries-conf', kind: 'string', usage: 'read registries.conf from `FILE`', hidden: true },
  { name: 'override-arch', kind: 'string', usage: 'choose images for `ARCH` instead of this machine' },
  { name: 'override-os', kind: 'string', usage: 'choose images for `OS` instead of the running one' },
  { name: 'override-variant', kind: 'string', usage: 'choose images for `VARIANT` of the architecture' },
  { name: 'command-timeout', kind: 'duration', usage: 'give up after this long' },
  { name: 'tmpdir', kind: 'string', usage: 'keep big temporary files in `DIR`' },
  { name: 'user-agent-prefix', kind: 'string', usage: 'put this before the user agent' },
  {
    name: 'tls-verify',
    kind: 'optionalBool',
    usage: 'require HTTPS and check certificates; better given to the subcommand',
    hidden: true,
  },
];
