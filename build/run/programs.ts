import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere } from '../../errors.ts';

/** True for a file that this process may execute. */
export function isExecutable(path: string): boolean {
  const look = () => {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  };
  return ifThere(look) ?? false;
}

/** The first executable of a name; undefined where no directory has one. */
export function findProgram(name: string, directories: readonly string[]): string | undefined {
  return directories.map((directory) => join(directory, name)).find(isExecutable);
}
