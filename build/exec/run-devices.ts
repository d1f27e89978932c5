import { BuildError } from '../error.ts';
import { csvFields } from '../parse/mount-fields.ts';
import { CDI_DIRECTORIES, type CdiDevice, listCdi } from '../run/cdi.ts';
import type { BuildOptions } from './options.ts';

const CLASS = 'org.mobyproject.buildkit.device.class';
const AUTO_ALLOW = 'org.mobyproject.buildkit.device.autoallow';

/** What one `RUN --device` asks for. */
export interface DeviceRequest {
  /** `vendor/class`, `vendor/class=name`, `vendor/class=*`, or the class of an annotation. */
  readonly name: string;
  readonly required: boolean;
}

/** Reads `name[,required[=bool]]`, `name=NAME,…`. @throws BuildError `bad-option` */
export function parseDevice(text: string): DeviceRequest {
  let name: string | undefined;
  let required = false;
  for (const field of csvFields(text)) {
    const option = /^(name|required)(?:=(.*))?$/i.exec(field);
    const key = option?.[1]?.toLowerCase();
    const value = option?.[2];
    if (key === 'required') required = truth(value ?? 'true', text);
    else if (name !== undefined) throw invalid(text, `unexpected ${JSON.stringify(field)}`);
    else name = key === 'name' ? (value ?? '') : field;
  }
  if (!name) throw invalid(text, 'it names no device');
  return { name, required };
}

function truth(value: string, text: string): boolean {
  if (/^(?:1|t|true)$/i.test(value)) return true;
  if (/^(?:0|f|false)$/i.test(value)) return false;
  throw invalid(text, `required is true or false, not ${JSON.stringify(value)}`);
}

function invalid(text: string, why: string): BuildError {
  return new BuildError('bad-option', `invalid RUN --device=${text}: ${why}`);
}

/**
 * The CDI devices that a RUN may have: a Containerfile names no other device of the host, and only those that
 * `--allow device` or the device's own specification lets every build have (SECURITY B06).
 * @throws BuildError `bad-option` for one that is required and not there, or not allowed
 */
export async function allowedDevices(
  requests: readonly string[],
  { entitlements, run }: Pick<BuildOptions, 'entitlements' | 'run'>,
): Promise<readonly string[]> {
  if (requests.length === 0) return [];
  const known = await listCdi(run.cdiDirectories ?? CDI_DIRECTORIES);
  const names = new Set<string>();
  for (const { name, required } of requests.map(parseDevice)) {
    const found = matching(known, name);
    if (found.length === 0 && required)
      throw new BuildError('bad-option', `required device ${JSON.stringify(name)} is not registered`, {
        hint: 'no CDI specification of this machine describes it',
      });
    for (const device of found) {
      if (!isAllowed(device, entitlements ?? [])) throw notAllowed(device.name);
      names.add(device.name);
    }
  }
  return [...names];
}

function matching(known: readonly CdiDevice[], name: string): readonly CdiDevice[] {
  const [kind = '', device = ''] = name.split('=');
  const ofKind = kind.includes('/') ? known.filter((one) => one.name.startsWith(`${kind}=`)) : [];
  const found =
    device === '' ? ofKind.slice(0, 1) : device === '*' ? ofKind : ofKind.filter((one) => one.name === name);
  return found.length > 0 ? found : known.filter(({ annotations }) => annotations[CLASS] === name);
}

function isAllowed({ name, annotations }: CdiDevice, entitlements: readonly string[]): boolean {
  const kind = name.split('=', 1)[0];
  return (
    /^(?:1|t|true)$/i.test(annotations[AUTO_ALLOW] ?? '') ||
    entitlements.some(
      (entry) => entry === 'device' || entry === `device=${name}` || entry === `device=${kind}`,
    )
  );
}

function notAllowed(name: string): BuildError {
  return new BuildError('bad-option', `RUN --device of ${name} is not allowed`, {
    hint: `allow it with --allow device, or --allow device=${name}`,
  });
}
