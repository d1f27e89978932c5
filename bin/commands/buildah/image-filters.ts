import { ImageRelations } from '../../../build/container/image-relations.ts';
import { findLocalImage } from '../../../build/container/pull.ts';
import { BuildError } from '../../../build/error.ts';
import {
  formatReference,
  type NamedReference,
  parseReference,
  repositoryOf,
} from '../../../image/reference.ts';
import type { ImageRecord } from '../../../store/storage/contract.ts';
import { parseDuration } from '../../cli/duration.ts';
import { usage } from './arguments.ts';
import type { Session } from './session.ts';

type Test = (record: ImageRecord) => boolean | Promise<boolean>;

/**
 * The images that fit all filters (`key=value`, `key!=value`); of several `reference=` filters one has to fit. As
 * libimage compiles them.
 * @throws UsageError for an unknown key or a value that does not parse
 */
export async function filterImages(session: Session, filters: readonly string[]): Promise<ImageRecord[]> {
  const all = await session.store.images.list();
  const relations = new ImageRelations(session.store, all);
  const wanted: Test[] = [];
  const references: Test[] = [];
  const once = new Map<string, string>();
  for (const text of filters) {
    const { key, value, negated } = parseFilter(text);
    if (SINGLE.has(key)) requireSame(once, key, value);
    const test = await testOf(session, relations, text, key, value);
    if (key === 'reference' && !negated) references.push(test);
    else wanted.push(negated ? async (record) => !(await test(record)) : test);
  }
  const fitting: ImageRecord[] = [];
  for (const record of all)
    if ((await every(wanted, record)) && (references.length === 0 || (await some(references, record))))
      fitting.push(record);
  return withAskedNames(fitting, filters);
}

/** One `reference=` with a whole name asks for that name: an image's other names are not told. */
function withAskedNames(list: ImageRecord[], filters: readonly string[]): ImageRecord[] {
  const asked = filters.map(parseFilter).filter(({ key }) => key === 'reference');
  const [only] = asked;
  if (asked.length !== 1 || !only || only.negated) return list;
  const reference = wholeName(only.value);
  if (!reference) return list;
  const isAsked = (name: string) =>
    reference.digest === undefined
      ? name === only.value
      : repositoryOf(parseReference(name)) === repositoryOf(reference);
  return list.map((record) => ({ ...record, names: record.names.filter(isAsked) }));
}

/** A name with registry and with tag or digest; undefined for everything else. */
function wholeName(text: string): NamedReference | undefined {
  try {
    const reference = parseReference(text);
    const isWhole = reference.tag !== undefined || reference.digest !== undefined;
    return isWhole && formatReference(reference) === text ? reference : undefined;
  } catch {
    return undefined;
  }
}

async function every(tests: readonly Test[], record: ImageRecord): Promise<boolean> {
  for (const test of tests) if (!(await test(record))) return false;
  return true;
}

async function some(tests: readonly Test[], record: ImageRecord): Promise<boolean> {
  for (const test of tests) if (await test(record)) return true;
  return false;
}

/** Filters that may stand there again with the same value alone. */
const SINGLE = new Set(['containers', 'dangling', 'intermediate', 'manifest', 'readonly']);

function requireSame(once: Map<string, string>, key: string, value: string): void {
  if ((once.get(key) ?? value) !== value)
    throw usage(`specifying "${key}" filter more than once with different values is not supported`);
  once.set(key, value);
}

function parseFilter(text: string): { key: string; value: string; negated: boolean } {
  const match = /^([^=!]*)(!?=)(.*)$/s.exec(text);
  if (!match) throw invalid(text);
  return { key: match[1] as string, value: match[3] as string, negated: match[2] === '!=' };
}

function invalid(text: string) {
  return usage(`invalid image filter "${text}": must be in the format "filter=value or filter!=value"`);
}

async function testOf(
  session: Session,
  relations: ImageRelations,
  text: string,
  key: string,
  value: string,
): Promise<Test> {
  switch (key) {
    case 'after':
    case 'since': {
      const at = await createdOf(session, key, value);
      return (record) => createdMs(record) > at;
    }
    case 'before': {
      const at = await createdOf(session, key, value);
      return (record) => createdMs(record) < at;
    }
    case 'until': {
      const at = untilMs(value);
      return (record) => createdMs(record) < at;
    }
    case 'containers': {
      const used = new Set((await session.store.containers.list()).map((container) => container.imageId));
      if (value !== 'true' && value !== 'false')
        throw usage(`unsupported value "${value}" for containers filter`);
      const expected = value === 'true';
      return (record) => used.has(record.id) === expected;
    }
    case 'dangling': {
      const expected = boolean(key, value);
      return async (record) => (await relations.isDangling(record)) === expected;
    }
    case 'intermediate': {
      const expected = boolean(key, value);
      return async (record) => (await relations.isIntermediate(record)) === expected;
    }
    case 'readonly': {
      const expected = boolean(key, value);
      return (record) => record.readOnly === expected;
    }
    case 'manifest': {
      const expected = boolean(key, value);
      return async (record) => ((await relations.manifest(record))?.kind === 'index') === expected;
    }
    case 'id':
      return (record) => record.id === value.replace(/^sha256:/, '') || record.id.startsWith(value);
    case 'digest':
      if (!value.startsWith('sha256:')) throw usage(`invalid value "${value}" for digest filter`);
      return (record) => (record.digest ?? '').startsWith(value);
    case 'label':
      return labelTest(relations, value);
    case 'reference':
      return referenceTest(session, value);
    default:
      throw invalid(text === '' ? key : key);
  }
}

function labelTest(relations: ImageRelations, text: string): Test {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  return async (record) => {
    const labels = (await relations.config(record))?.config?.Labels ?? {};
    return Object.hasOwn(labels, name) && (equals < 0 || labels[name] === text.slice(equals + 1));
  };
}

async function referenceTest(session: Session, value: string): Promise<Test> {
  const found = /[*?[]/.test(value)
    ? undefined
    : await findLocalImage(session.surroundings, value, { forPlatform: false });
  const expression = globExpression(value);
  return (record) => {
    if (found && !value.includes('/') && value.includes(':')) return record.id === found.record.id;
    return record.names.some((name) => {
      const withoutTag = name.replace(/:[^/]*$/, '');
      return (
        partsOf(name).some((part) => expression.test(part)) ||
        partsOf(withoutTag).some((part) => expression.test(part))
      );
    });
  };
}

/** `quay.io/team/img:1` may be meant by each of its endings that starts at a slash. */
function partsOf(name: string): string[] {
  const components = name.split('/');
  return components.map((_component, index) => components.slice(index).join('/'));
}

function globExpression(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replace(/\*/g, '[^/]*')
    .replace(/\?/g, '[^/]');
  return new RegExp(`^${source}$`);
}

function boolean(key: string, value: string): boolean {
  if (['true', '1', 't', 'TRUE', 'True'].includes(value)) return true;
  if (['false', '0', 'f', 'FALSE', 'False'].includes(value)) return false;
  throw usage(
    `non-boolean value "${value}" for ${key} filter: strconv.ParseBool: parsing "${value}": invalid syntax`,
  );
}

const createdMs = (record: ImageRecord) => Date.parse(record.created) || 0;

async function createdOf(session: Session, key: string, name: string): Promise<number> {
  const found = await findLocalImage(session.surroundings, name, { forPlatform: false });
  if (!found)
    throw new BuildError(
      'pull-failed',
      `could not find local image for filter "${key}"="${name}": ${name}: image not known`,
    );
  return createdMs(found.record);
}

function untilMs(value: string): number {
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  if (!Number.isNaN(date)) return date;
  return Date.now() - parseDuration(value);
}
