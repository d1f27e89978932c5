import { goJsonText } from '../../image/go-json.ts';
import { BuildError } from '../error.ts';
import type { MergeStrategy } from './options.ts';

/** Documents of several scans as one, and the package URLs in it. */
export interface MergedSbom {
  readonly document: string;
  /** JSON: `{"image_contents":{"dependencies":[…]}}`. */
  readonly purls: string;
}

type Json = Record<string, unknown>;

/** @throws BuildError `check-failed` for a document that the strategy cannot read */
export function mergeSboms(strategy: MergeStrategy, documents: readonly string[]): MergedSbom {
  if (strategy === 'cat') return { document: documents.join(''), purls: purlDocument([]) };
  const [first = {}, ...others] = documents.map(parse);
  const purls = new Set<string>();
  const merged =
    strategy === 'merge-cyclonedx-by-component-name-and-version'
      ? mergeList([first, ...others], 'components', componentKey(purls))
      : mergeList(
          [mergeList([first, ...others], 'packages', packageKey(purls)), ...others],
          'hasExtractedLicensingInfos',
          (license) => String(license.licenseId ?? ''),
        );
  return { document: `${goJsonText(sorted(merged))}\n`, purls: purlDocument([...purls].sort()) };
}

/** Keys in the order that Go writes a map in. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return new Map(Object.entries(value).map(([key, child]) => [key, sorted(child)]));
}

function parse(text: string): Json {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  } catch (cause) {
    throw new BuildError('check-failed', `decoding the scanner's JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
  throw new BuildError('check-failed', "the scanner's output is no JSON object");
}

/** The first document with what the others add to a list of it; equal keys count once. */
function mergeList(documents: readonly Json[], field: string, keyOf: (item: Json) => string): Json {
  const [base = {}] = documents;
  const seen = new Set<string>();
  const items: unknown[] = [];
  for (const [index, document] of documents.entries()) {
    const list = document[field];
    for (const item of Array.isArray(list) ? (list as Json[]) : []) {
      const key = keyOf(item);
      if (index > 0 && seen.has(key)) continue;
      seen.add(key);
      items.push(item);
    }
  }
  return items.length > 0 ? { ...base, [field]: items } : base;
}

function componentKey(purls: Set<string>): (component: Json) => string {
  return ({ name, version, purl }) => {
    if (typeof name !== 'string') throw new BuildError('check-failed', 'no name in a component of the SBOM');
    if (typeof purl === 'string' && purl) purls.add(purl);
    return version ? `${name}@${String(version)}` : name;
  };
}

function packageKey(purls: Set<string>): (item: Json) => string {
  return ({ name, versionInfo, externalRefs }) => {
    if (typeof name !== 'string') throw new BuildError('check-failed', 'no name in a package of the SBOM');
    for (const reference of Array.isArray(externalRefs) ? (externalRefs as Json[]) : [])
      if (
        reference.referenceCategory === 'PACKAGE-MANAGER' &&
        reference.referenceType === 'purl' &&
        typeof reference.referenceLocator === 'string'
      )
        purls.add(reference.referenceLocator);
    return versionInfo ? `${name}@${String(versionInfo)}` : name;
  };
}

function purlDocument(dependencies: readonly string[]): string {
  return `${goJsonText({ image_contents: dependencies.length > 0 ? { dependencies } : {} })}\n`;
}
