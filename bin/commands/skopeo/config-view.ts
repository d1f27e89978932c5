import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../../image/json.ts';
import { GoTime } from '../../cli/template/go-time.ts';

const FIELDS: Readonly<Record<string, string>> = {
  created: 'Created',
  author: 'Author',
  architecture: 'Architecture',
  os: 'OS',
  'os.version': 'OSVersion',
  'os.features': 'OSFeatures',
  variant: 'Variant',
  config: 'Config',
  rootfs: 'RootFS',
  history: 'History',
};

/**
 * An OCI config for output: JSON shows its own keys, templates see Go's field names (`{{.Architecture}}`,
 * `{{.Config.Env}}`), maps are maps.
 */
export function configForTemplate(bytes: Uint8Array): Record<string, unknown> {
  const json = parseJsonObject(bytes, { what: 'image config' });
  const view: Record<string, unknown> = { toJSON: () => json };
  for (const [key, name] of Object.entries(FIELDS)) view[name] = fieldOf(key, json[key]);
  return view;
}

function fieldOf(key: string, value: JsonValue | undefined): unknown {
  if (key === 'created') return typeof value === 'string' ? new GoTime(value) : null;
  if (key === 'config') return isJsonObject(value) ? runtime(value) : {};
  if (key === 'rootfs' && isJsonObject(value)) return { Type: value.type, DiffIDs: value.diff_ids };
  if (key === 'history') return Array.isArray(value) ? value.map(historyEntry) : null;
  return value ?? (key === 'os.features' ? null : '');
}

function runtime(config: JsonObject): Record<string, unknown> {
  const map = (value: JsonValue | undefined) => new Map(isJsonObject(value) ? Object.entries(value) : []);
  return {
    User: config.User ?? '',
    ExposedPorts: map(config.ExposedPorts),
    Env: config.Env ?? null,
    Entrypoint: config.Entrypoint ?? null,
    Cmd: config.Cmd ?? null,
    Volumes: map(config.Volumes),
    WorkingDir: config.WorkingDir ?? '',
    Labels: map(config.Labels),
    StopSignal: config.StopSignal ?? '',
    ArgsEscaped: config.ArgsEscaped ?? false,
  };
}

function historyEntry(value: JsonValue): Record<string, unknown> {
  const entry = isJsonObject(value) ? value : {};
  return {
    Created: typeof entry.created === 'string' ? new GoTime(entry.created) : null,
    CreatedBy: entry.created_by ?? '',
    Author: entry.author ?? '',
    Comment: entry.comment ?? '',
    EmptyLayer: entry.empty_layer ?? false,
  };
}
