import { writeFileSync } from 'node:fs';
import { layerContents } from '../../build/record/layer-files.ts';
import type { Explanation } from '../../build/record/record.ts';
import type { Store } from '../../store/storage/contract.ts';
import { buildReport } from './build-report.ts';
import { ReportData } from './build-report-data.ts';

const BIGGEST_FILES = 15;

/** The file of `--report`. */
export class ReportFile {
  readonly data = new ReportData();
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
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

  write(name: string): void {
    writeFileSync(this.#path, buildReport(this.data.builds, `Build of ${name}`));
  }
}
