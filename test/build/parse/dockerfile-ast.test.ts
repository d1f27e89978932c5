import { deepEqual, ok } from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { DockerfileParser } from 'dockerfile-ast';
import { suite } from 'uvu';
import { scanContainerfile } from '../../../build/parse/scan.ts';

/** It takes lines of some heredocs for instructions: two on one line, and quoted words that look like one. */
const KNOWN_DIFFERENCES = ['heredoc-run', 'bom-and-crlf', 'heredoc-lookalike'];

const test = suite('our scanner beside dockerfile-ast');
const files = globSync('fixtures/containerfiles/valid/*/Containerfile').sort();
test('there is a corpus', () => ok(files.length > 10));
for (const file of files) {
  if (KNOWN_DIFFERENCES.some((name) => file.includes(`/${name}/`))) continue;
  test(file, () => {
    const text = readFileSync(file, 'utf8');
    const theirs = DockerfileParser.parse(text).getInstructions();
    deepEqual(
      scanContainerfile(text, file).lines.map(({ keyword, position }) => [
        keyword.toUpperCase(),
        position.line,
      ]),
      theirs.map((line) => [line.getKeyword(), line.getRange().start.line + 1]),
    );
  });
}
test.run();
