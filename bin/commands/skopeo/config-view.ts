import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../../image/json.ts';
import { shownAs } from '../../cli/template/format.ts';
import { GoTime } from '../../cli/template/go-time.ts';

/**
 * An OCI config for output: JSON shows its own keys, templates see Go's field names (`{{.Architecture}}`,
 * `{{.Config.Env}}`) in Go's order, maps are maps.
 */
export function configForTemplate(bytes: Uint8Array): Record<string, unknown> {
  const json = parseJsonObject(bytes, { what: 'image config' });
  const platform = platformOf(json);
  const { rootfs, history } = json;
  const view = {
    Created: timeOf(json.created),
    Author: json.author ?? '',
    Platform: platform,
    Config: isJsonObject(json.config) ? runtime(json.config) : {},
    RootFS: isJsonObject(rootfs) ? shownAs(rootfs, { Type: rootfs.type, DiffIDs: rootfs.diff_ids }) : {},
    History: Array.isArray(history) ? history.map(historyEntry) : [],
  };
  // Go embeds the platform: its fields are reached without its name, but printed once.
  for (const [name, value] of Object.entries(platform)) Object.defineProperty(view, name, { value });
  return shownAs(json, view);
}

function platformOf(json: JsonObject): Record<string, unknown> {
  const keys = ['architecture', 'os', 'os.version', 'os.features', 'variant'];
  const shown = Object.fromEntries(keys.flatMap((key) => (key in json ? [[key, json[key]]] : [])));
  return shownAs(shown as JsonObject, {
    Architecture: json.architecture ?? '',
    OS: json.os ?? '',
    OSVersion: json['os.version'] ?? '',
    OSFeatures: json['os.features'] ?? [],
    Variant: json.variant ?? '',
  });
}

function timeOf(value: JsonValue | undefined): GoTime | null {
  return typeof value === 'string' ? new GoTime(value) : null;
}

function runtime(config: JsonObject): Record<string, unknown> {
  const map = (value: JsonValue | undefined) => new Map(isJsonObject(value) ? Object.entries(value) : []);
  return shownAs(config, {
    User: config.User ?? '',
    ExposedPorts: map(config.ExposedPorts),
    Env: config.Env ?? [],
    Entrypoint: config.Entrypoint ?? [],
    Cmd: config.Cmd ?? [],
    Volumes: map(config.Volumes),
    WorkingDir: config.WorkingDir ?? '',
    Labels: map(config.Labels),
    StopSignal: config.StopSignal ?? '',
    ArgsEscaped: config.ArgsEscaped ?? false,
  });
}

function historyEntry(value: JsonValue): Record<string, unknown> {
  const entry = isJsonObject(value) ? value : {};
  return shownAs(value, {
    Created: timeOf(entry.created),
    CreatedBy: entry.created_by ?? '',
    Author: entry.author ?? '',
    Comment: entry.comment ?? '',
    EmptyLayer: entry.empty_layer ?? false,
  });
}
