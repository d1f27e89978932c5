import { equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';

const standardOutput = suite('standard output');
const shell = (script: string) =>
  spawnSync('sh', ['-c', script], { encoding: 'utf8', env: { ...process.env, TOOL: 'bin/buildah' } });

standardOutput('prints to files and pipes', () => {
  match(shell('"$TOOL" --version').stdout, /^buildah version /);
  match(shell('"$TOOL" --version | cat').stdout, /^buildah version /);
});

if (process.platform === 'linux')
  standardOutput('tells a full disk in one line', () => {
    const { status, stderr } = shell('"$TOOL" --version > /dev/full');
    equal(status, 125);
    match(stderr, /^Error: .*no space left on device\n$/);
  });

standardOutput('ends with 141 where nobody reads any more', () => {
  equal(shell('exec 3>&1; { sleep 0.3; "$TOOL" --version; echo $? >&3; } | true').stdout.trim(), '141');
});

standardOutput.run();
