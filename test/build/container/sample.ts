import type { WorkingContainer } from '../../../build/container/contract.ts';
import type { ImageConfig } from '../../../image/config.ts';

/** A working container made from scratch, for tests of pure functions. */
export function sampleContainer(changes: Partial<WorkingContainer> = {}): WorkingContainer {
  const config: ImageConfig = {
    created: '2024-01-01T00:00:00Z',
    architecture: 'amd64',
    os: 'linux',
    config: { WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: [] },
    history: [],
  };
  return {
    id: 'a'.repeat(64),
    name: 'working-container',
    layerId: 'b'.repeat(64),
    fromImage: '',
    fromImageId: '',
    topLayer: '',
    ociConfig: config,
    dockerConfig: config,
    preferredFormat: 'oci',
    annotations: {},
    createdBy: '',
    historyComment: '',
    prependedHistory: [],
    appendedHistory: [],
    prependedLayers: [],
    appendedLayers: [],
    isolation: 'oci',
    namespaces: [],
    network: 'default',
    capabilities: [],
    devices: [],
    groupAdd: [],
    args: {},
    defaultMountsFile: '',
    runOptions: {},
    rest: {},
    ...changes,
  };
}
