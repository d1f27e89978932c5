import { type HistoryEntry, type ImageConfig, parseImageConfig } from '../../image/config.ts';
import { goJson } from '../../image/go-json.ts';
import { dateText, epochOf, storeImage } from '../commit/commit.ts';
import { fromComment, imageAnnotations, imageDocuments } from '../commit/image-documents.ts';
import { layersUpTo } from '../commit/layers.ts';
import { changeContainer, clearLabels, setHostname, setLabel } from '../container/config.ts';
import type { CommitOptions, WorkingContainer } from '../container/contract.ts';
import { dockerDocument, ociDocument } from '../container/documents.ts';
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

/** Compares an image that has the step's history with what the step would write. */
export async function fitOf(run: StageRun, step: Step, createdBy: string, view: ImageView): Promise<Fit> {
  const { options, surroundings } = run.session;
  const reach: Reach = !step.isLastInstruction ? 'step' : run.isLast ? 'image' : 'stage';
  const commit: CommitOptions = {
    ...documentOptions(options, step.isLastStep),
    emptyLayer: true,
    omitLayerHistoryEntry: true,
  };
  const pinned = epochOf(commit);
  const created = pinned === undefined ? (view.config.created ?? '') : dateText(new Date(pinned * 1000));
  const wanted = (layerLabels: readonly string[]) => {
    const named = { createdBy, name: reach === 'image' ? run.name : '', isLastStep: step.isLastStep };
    const planned = run.container.planned();
    const configured = configuredContainer(planned, run.state, { ...options, layerLabels }, named);
    const entry = lastEntry(view, configured, pinned === undefined ? undefined : created, run.link);
    return madeAs(view, configured, entry);
  };
  const layerLabels = options.layerLabels ?? [];
  const container = wanted(reach === 'image' ? layerLabels : []);
  const layers = await layersUpTo(surroundings.store, view.record.topLayer);
  const inputs = { layers, format: options.format, created, reproducible: pinned !== undefined };
  const compared = reach === 'image' ? container : withLabelsOf(view, container, reach);
  const { config } = imageDocuments(compared, commit, inputs);
  if (hasDocuments(view, config, imageAnnotations(compared, commit, created), reach)) return { kind: 'same' };
  if (dependsOnChange(step, view.config, parseImageConfig(config))) return { kind: 'none' };
  const write = () => storeImage(surroundings, wanted(layerLabels), commit, { layers, created });
  return { kind: 'layer', write: async () => (await write()).imageId };
}

/** The history entry that the step would write; its time stays where dates are not pinned. */
function lastEntry(
  view: ImageView,
  container: WorkingContainer,
  created: string | undefined,
  isLinked: boolean,
): HistoryEntry {
  const last = view.history.at(-1) ?? {};
  const comment = [container.historyComment, fromComment(container)].filter(Boolean).join(' ');
  const author = isLinked ? last.author : container.ociConfig.author;
  return { ...last, comment, author, ...(created === undefined ? {} : { created }) };
}

/** The container with what is made up anew in each build, and the history, as the image has it. */
function madeAs(view: ImageView, container: WorkingContainer, entry: HistoryEntry): WorkingContainer {
  const history = [...view.history.slice(0, -1), entry];
  const hostname = view.config.config?.Hostname ?? '';
  const { ociConfig, dockerConfig } = container;
  return setHostname(hostname)({
    ...container,
    id: view.config.container ?? '',
    ociConfig: { ...ociConfig, history },
    dockerConfig: { ...dockerConfig, history },
  });
}

/** Labels of `--layer-label`, which are new in each build of many pipelines, make no step another one. */
function withLabelsOf(view: ImageView, container: WorkingContainer, reach: Reach): WorkingContainer {
  const there = view.config.config?.Labels ?? {};
  const { [IDENTITY_LABEL]: identity, ...wanted } = container.ociConfig.config?.Labels ?? {};
  if (reach === 'stage' && (identity === undefined) !== (there[IDENTITY_LABEL] === undefined))
    return container;
  if (Object.entries(wanted).some(([name, value]) => there[name] !== value)) return container;
  const set = Object.entries(there).map(([name, value]) => setLabel(name, value));
  return changeContainer(container, clearLabels(), ...set);
}

const CREATED = 'org.opencontainers.image.created';

function hasDocuments(
  view: ImageView,
  config: Uint8Array,
  annotations: Readonly<Record<string, string>>,
  reach: Reach,
): boolean {
  const document = view.format === 'oci' ? ociDocument(view.config) : dockerDocument(view.config);
  if (Buffer.compare(goJson(document), config) !== 0) return false;
  if (view.format === 'docker') return true;
  const names = new Set([...Object.keys(annotations), ...Object.keys(view.annotations)]);
  // Each commit writes this one anew.
  if (reach !== 'image') names.delete(CREATED);
  return [...names].every((name) => annotations[name] === view.annotations[name]);
}

/** Of the image's configuration, what the files of a layer may come from. */
const READ_BY_COPY = ['User', 'WorkingDir', 'Volumes'] as const;
const READ_BY_RUN = [...READ_BY_COPY, 'Env', 'Shell'] as const;

function dependsOnChange({ effects }: Step, was: ImageConfig, now: ImageConfig): boolean {
  if (!effects.run && !effects.copy) return false;
  if (was.os !== now.os || was.architecture !== now.architecture || was.variant !== now.variant) return true;
  const keys: readonly (typeof READ_BY_RUN)[number][] = effects.run ? READ_BY_RUN : READ_BY_COPY;
  const text = (image: ImageConfig) => JSON.stringify(keys.map((key) => filled(image.config?.[key])));
  return text(was) !== text(now);
}

/** Documents leave out, or write as null, what is empty. */
function filled(value: string | object | undefined): unknown {
  return value === undefined || value === null || Object.keys(value).length === 0 ? null : value;
}
