import type { ContainersConfig } from '../../../config/containers.ts';

/** What containers.conf says of networks, and where their state is. */
export interface BridgeSettings {
  /** Empty, or the only one that there is: `netavark`. */
  readonly backend: string;
  /** Where netavark and aardvark-dns are, first come first. */
  readonly helperDirectories: readonly string[];
  readonly pluginDirectories: readonly string[];
  readonly defaultNetwork: string;
  readonly defaultSubnet: string;
  /** Files of networks; default: {@link CONFIG_DIRECTORY}. */
  readonly configDirectory?: string;
  /** Default: {@link RUN_DIRECTORY}. */
  readonly runDirectory?: string;
  /** Default: {@link LOCK_FILE}. */
  readonly lockFile?: string;
  /** Where aardvark-dns listens; 0: the usual port. */
  readonly dnsPort: number;
  /** Empty: netavark's choice. */
  readonly firewall: string;
  /** For pasta, before those that a command gives. */
  readonly pastaOptions?: readonly string[];
}

/** Root has one network namespace and so one set of these, whatever its stores. */
export const CONFIG_DIRECTORY = '/etc/containers/networks';
export const RUN_DIRECTORY = '/run/containers/networks';
export const LOCK_FILE = '/run/lock/netavark.lock';

export function bridgeSettings({
  engine,
  network,
}: Pick<ContainersConfig, 'engine' | 'network'>): BridgeSettings {
  return {
    backend: network.network_backend,
    helperDirectories: engine.helper_binaries_dir,
    pluginDirectories: network.netavark_plugin_dirs,
    defaultNetwork: network.default_network,
    defaultSubnet: network.default_subnet,
    configDirectory: network.network_config_dir,
    dnsPort: network.dns_bind_port,
    firewall: network.firewall_driver,
    pastaOptions: network.pasta_options,
  };
}
