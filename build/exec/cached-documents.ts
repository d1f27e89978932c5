import { createHash } from 'node:crypto';
import type { HistoryEntry } from '../../image/config.ts';
import { BUILT_HERE } from '../commit/built-mark.ts';
import { dateText, epochOf, storeImage } from '../commit/commit.ts';
import { configDocument, fromComment, imageAnnotations } from '../commit/image-documents.ts';
import { layersUpTo } from '../commit/layers.ts';
import { editRuntime, setHostname } from '../container/config.ts';
import type { CommitOptions, WorkingContainer } from '../container/contract.ts';
import { dockerDocument, historyDocument, ociDocument } from '../container/documents.ts';
import type { ImageView } from './image-view.ts';
import { documentOptions } from './stage-commit.ts';
import type { StageRun, Step } from './stage-run.ts';
import { configuredContainer, IDENTITY_LABEL } from './step-config.ts';

/**
 * What a cached image is to a step. Histories keep the text of instructions and hardly a flag, so that an image with
 * the right one may have another configuration than the step would give it now: that of another `--build-arg`, of a
 * base image with the same history and layers, of a build with other flags. Buildah takes such an image for its own.
 */
export type Fit =
  | { readonly kind: 'same' }
  /** Its layer is the step's: `write` makes the step's image of it, and gives its id. */
  | { readonly kind: 'layer'; readonly write: () => Promise<string> }
  /** What the step puts into its layer may depend on what differs. */
  | { readonly kind: 'none' };

/** Who gets to see the labels of the step's image: everybody, the stages that stand on it, the next step. */
type Reach = 'image' | 'stage' | 'step';

const reachOf = (run: StageRun, step: Step): Reach =>
  !step.isLastInstruction ? 'step' : run.isLast ? 'image' : 'stage';

/**
 * A digest of all that the documents of a step's image come from beside its instruction: the base and the flags. It is
 * kept with the image; where it is the same there is nothing to compare.
 */
export function originOf(run: StageRun, step: Step): string {
  const { options } = run.session;
  const { identityLabel, builderVersion, layerLabels, unsetLabels, unsetEnvironment, inheritLabels } =
    options;
  const labels = [identityLabel, builderVersion, layerLabels, unsetLabels, unsetEnvironment, inheritLabels];
  const { platform, platformGiven, osVersion, osFeatures, inheritAnnotations } = options;
  const others = [platformGiven ? platform : '', osVersion, osFeatures, inheritAnnotations];
  const place = [reachOf(run, step), run.name !== '', step.isLastStep, run.link];
  const commit = documentOptions(options, step.isLastStep);
  const all = [
    run.container.origin(),
    options.compatScratchConfig,
    labels,
    others,
    place,
    { ...commit, blobDirectory: '' },
  ];
  return createHash('sha256').update(JSON.stringify(all)).digest('hex');
}

/** True where no value but those of {@link originOf} goes into the documents. */
function isLiteral({ effects, instruction }: Step): boolean {
  return effects.run !== undefined || effects.copy !== undefined || !instruction.original.includes('$');
}

async function hasOrigin(run: StageRun, view: ImageView, origin: string): Promise<boolean> {
  const mark = await run.session.surroundings.store.images.bigData(view.record.id, BUILT_HERE);
  const kept: unknown = mark && JSON.parse(Buffer.from(mark).toString('utf8'));
  return (kept as { readonly origin?: unknown } | undefined)?.origin === origin;
}

/** Compares an image that has the step's history with what the step would write. */
export async function fitOf(run: StageRun, step: Step, createdBy: string, view: ImageView): Promise<Fit> {
  const { options } = run.session;
  const origin = originOf(run, step);
  if (isLiteral(step) && (await hasOrigin(run, view, origin))) return { kind: 'same' };
  const reach = reachOf(run, step);
  const commit = { ...documentOptions(options, step.isLastStep), origin };
  const pinned = epochOf(commit);
  const created = pinned === undefined ? (view.config.created ?? '') : dateText(new Date(pinned * 1000));
  const wanted = (layerLabels: readonly string[]) => {
    const named = { createdBy, name: reach === 'image' ? run.name : '', isLastStep: step.isLastStep };
    const planned = run.container.planned();
    return madeAs(view, configuredContainer(planned, run.state, { ...options, layerLabels }, named));
  };
  const layerLabels = options.layerLabels ?? [];
  const container = wanted(reach === 'image' ? layerLabels : []);
  const last = view.history.at(-1) ?? {};
  const entry = entryOf(last, container, pinned === undefined ? undefined : created, run.link);
  const compared = reach === 'image' ? container : withLabelsOf(view, container, reach);
  const now = documentOf(compared, commit, { created, reproducible: pinned !== undefined });
  const was = storedDocument(view);
  const isSame = text(now) === text(was) && text(historyDocument(entry)) === text(historyDocument(last));
  if (isSame && hasAnnotations(view, imageAnnotations(compared, commit, created), reach))
    return { kind: 'same' };
  if (dependsOnChange(step, was, now)) return { kind: 'none' };
  return { kind: 'layer', write: () => rewrite(run, view, wanted(layerLabels), { commit, entry, created }) };
}

/** Makes an image of the layers and the history of one that is there. */
async function rewrite(
  { session }: StageRun,
  view: ImageView,
  container: WorkingContainer,
  given: { readonly commit: CommitOptions; readonly entry: HistoryEntry; readonly created: string },
): Promise<string> {
  const { store } = session.surroundings;
  const layers = await layersUpTo(store, view.record.topLayer);
  const history = [...view.history.slice(0, -1), given.entry];
  const { ociConfig, dockerConfig } = container;
  const made = {
    ...container,
    ociConfig: { ...ociConfig, history },
    dockerConfig: { ...dockerConfig, history },
  };
  const options = { ...given.commit, emptyLayer: true, omitLayerHistoryEntry: true };
  const { created } = given;
  return (await storeImage(session.surroundings, made, options, { layers, created })).imageId;
}

/** The history entry that the step would write; its time stays where dates are not pinned. */
function entryOf(
  last: HistoryEntry,
  container: WorkingContainer,
  created: string | undefined,
  isLinked: boolean,
): HistoryEntry {
  const comment = [container.historyComment, fromComment(container)].filter(Boolean).join(' ');
  const author = isLinked ? last.author : container.ociConfig.author;
  return { ...last, comment, author, ...(created === undefined ? {} : { created }) };
}

/** The container with what is made up anew in each build as the image has it. */
function madeAs(view: ImageView, container: WorkingContainer): WorkingContainer {
  const id = view.config.container ?? '';
  return setHostname(view.config.config?.Hostname ?? '')({ ...container, id });
}

const NO_FILES = { type: 'layers', diff_ids: [] } as const;

/** The config without layers and history, which are known to be the same. */
function documentOf(
  container: WorkingContainer,
  commit: CommitOptions,
  dates: { readonly created: string; readonly reproducible: boolean },
): Document {
  const inputs = { ...dates, layers: [], format: commit.format ?? 'oci' };
  return configDocument(container, { ...commit, omitHistory: true }, inputs);
}

function storedDocument({ config, format }: ImageView): Document {
  const bare = { ...config, history: [], rootfs: NO_FILES };
  return format === 'oci' ? ociDocument(bare) : dockerDocument(bare);
}

type Document = Readonly<Record<string, unknown>>;

/** Documents are written with sorted names, whatever order they were given in. */
const text = (value: unknown) =>
  JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item;
    const entries = item instanceof Map ? [...item] : Object.entries(item);
    return entries.sort(([a], [b]) => (a < b ? -1 : 1));
  });

/** Labels of `--layer-label`, which are new in each build of many pipelines, make no step another one. */
function withLabelsOf(view: ImageView, container: WorkingContainer, reach: Reach): WorkingContainer {
  const there = view.config.config?.Labels ?? {};
  const { [IDENTITY_LABEL]: identity, ...wanted } = container.ociConfig.config?.Labels ?? {};
  if (reach === 'stage' && (identity === undefined) !== (there[IDENTITY_LABEL] === undefined))
    return container;
  if (Object.entries(wanted).some(([name, value]) => there[name] !== value)) return container;
  return editRuntime((config) => ({ ...config, Labels: there }))(container);
}

const CREATED = 'org.opencontainers.image.created';

function hasAnnotations(
  view: ImageView,
  annotations: Readonly<Record<string, string>>,
  reach: Reach,
): boolean {
  if (view.format === 'docker') return true;
  const names = new Set([...Object.keys(annotations), ...Object.keys(view.annotations)]);
  // Each commit writes this one anew.
  if (reach !== 'image') names.delete(CREATED);
  return [...names].every((name) => annotations[name] === view.annotations[name]);
}

/** Of a configuration, what the files of a layer may come from. */
const READ_BY_COPY = ['User', 'WorkingDir', 'Volumes'] as const;
const READ_BY_RUN = [...READ_BY_COPY, 'Env', 'Shell'] as const;

function dependsOnChange({ effects }: Step, was: Document, now: Document): boolean {
  if (!effects.run && !effects.copy) return false;
  const keys = effects.run ? READ_BY_RUN : READ_BY_COPY;
  const read = ({ os, architecture, variant, config }: Document) =>
    text([os, architecture, variant, ...keys.map((key) => (config as Document)[key])]);
  return read(was) !== read(now);
}
