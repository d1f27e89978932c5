import { platformOf } from '../../../image/platform.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { packageVersion } from '../../cli/version.ts';
import { BUILDAH_LEVEL } from './registry-flags.ts';

export const version: CommandSpec = {
  name: 'version',
  summary: 'Show versions',
  usage: '[flags]',
  flags: [{ name: 'json', kind: 'bool', usage: 'print JSON' }],
  args: { max: 0 },
  run: runVersion,
};

async function runVersion({ flags, print }: CommandContext): Promise<void> {
  const { os, architecture } = platformOf(process.platform, process.arch);
  const facts = {
    version: BUILDAH_LEVEL,
    goVersion: `node ${process.version}`,
    imageSpec: '1.1.1',
    runtimeSpec: '1.2.1',
    imageVersion: packageVersion(),
    gitCommit: `slipway ${packageVersion()}`,
    built: new Date(0).toUTCString(),
    osArch: `${os}/${architecture}`,
    buildPlatform: `${os}/${architecture}`,
  };
  if (flags.bool('json')) {
    print(JSON.stringify(facts, null, 4));
    return;
  }
  const lines: readonly (readonly [string, string])[] = [
    ['Version', facts.version],
    ['Go Version', facts.goVersion],
    ['Image Spec', facts.imageSpec],
    ['Runtime Spec', facts.runtimeSpec],
    ['image Version', facts.imageVersion],
    ['Git Commit', facts.gitCommit],
    ['Built', facts.built],
    ['OS/Arch', facts.osArch],
    ['BuildPlatform', facts.buildPlatform],
  ];
  for (const [name, value] of lines) print(`${`${name}:`.padEnd(16)} ${value}`);
}
