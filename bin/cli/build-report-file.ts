import { accessSync, closeSync, constants, existsSync, openSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { layerContents } from '../../build/record/layer-files.ts';
import type { Explanation } from '../../build/record/record.ts';
import type { Store } from '../../store/storage/contract.ts';
import { buildReport } from './build-report.ts';
import { ReportData } from './build-report-data.ts';
import { onNamedFile, UsageError } from './error.ts';

const BIGGEST_FILES = 15;

/** The file of `--report`. */
export class ReportFile {
  readonly data = new ReportData();
  readonly #name: string;
  readonly #path: string;

  /** @throws UsageError where it cannot be written: said before a long build, not after it */
  constructor(name: string, workingDirectory: string) {
    if (name === '-') throw new UsageError('usage', '--report: stdout has the image id; name a file');
    this.#name = name;
    this.#path = resolve(workingDirectory, name);
    onNamedFile('--report: ', name, () => checkWritable(this.#path));
  }

  /** What is known when a platform's build has ended. @param imageId undefined: it failed */
  async addBuild(
    store: Store,
    imageId: string | undefined,
    explanations: readonly Explanation[] | undefined,
  ): Promise<void> {
    const record = imageId ? await store.images.get(imageId) : undefined;
    this.data.addDetails({
      ...(record ? { layers: await layerContents(store, record, BIGGEST_FILES) } : {}),
      ...(explanations ? { explanations } : {}),
    });
  }

  /** @throws UsageError */
  write(name: string): void {
    const text = buildReport(this.data.builds, `Build of ${name}`);
    onNamedFile('writing the report: ', this.#name, () => writeFileSync(this.#path, text));
  }
}

function checkWritable(path: string): void {
  if (existsSync(path)) closeSync(openSync(path, 'r+'));
  else accessSync(dirname(path), constants.W_OK);
}
