/** containers.conf(5) as this project reads it: the keys that Buildah and Skopeo act on, with their built-in values. */
export interface ContainersConfig {
  readonly containers: {
    readonly annotations: readonly string[];
    readonly apparmor_profile: string;
    readonly base_hosts_file: string;
    /** Empty: private where cgroups are unified, else the host's. */
    readonly cgroupns: string;
    readonly cgroups: string;
    readonly container_name_as_hostname: boolean;
    readonly default_capabilities: readonly string[];
    readonly default_sysctls: readonly string[];
    readonly default_ulimits: readonly string[];
    readonly devices: readonly string[];
    readonly dns_options: readonly string[];
    readonly dns_searches: readonly string[];
    readonly dns_servers: readonly string[];
    readonly env: readonly string[];
    readonly env_host: boolean;
    readonly host_containers_internal_ip: string;
    readonly http_proxy: boolean;
    readonly ipcns: string;
    readonly keyring: boolean;
    readonly label: boolean;
    readonly mounts: readonly string[];
    readonly netns: string;
    readonly no_hosts: boolean;
    readonly pidns: string;
    readonly pids_limit: number;
    readonly seccomp_profile: string;
    readonly shm_size: string;
    readonly tz: string;
    readonly umask: string;
    readonly userns: string;
    readonly utsns: string;
    readonly volumes: readonly string[];
  };
  readonly engine: {
    readonly add_compression: readonly string[];
    readonly cdi_spec_dirs: readonly string[];
    readonly cgroup_manager: string;
    readonly compression_format: string;
    /** Absent: the format's own default. */
    readonly compression_level?: number;
    readonly env: readonly string[];
    readonly helper_binaries_dir: readonly string[];
    readonly hooks_dir: readonly string[];
    readonly image_build_format: string;
    readonly image_copy_tmp_dir: string;
    readonly image_default_transport: string;
    /** 0: the copy's own default. */
    readonly image_parallel_copies: number;
    readonly image_volume_mode: string;
    readonly no_pivot_root: boolean;
    readonly pull_policy: string;
    readonly retry: number;
    readonly retry_delay: string;
    readonly runtime: string;
    readonly runtimes: Readonly<Record<string, readonly string[]>>;
    readonly runtimes_flags: Readonly<Record<string, readonly string[]>>;
    readonly platform_to_oci_runtime: Readonly<Record<string, string>>;
  };
  readonly network: {
    readonly default_network: string;
    readonly default_rootless_network_cmd: string;
    readonly default_subnet: string;
    readonly dns_bind_port: number;
    readonly firewall_driver: string;
    readonly netavark_plugin_dirs: readonly string[];
    readonly network_backend: string;
    readonly network_config_dir: string;
    readonly pasta_options: readonly string[];
  };
  readonly secrets: { readonly driver: string; readonly opts: Readonly<Record<string, string>> };
}

const RUNTIME_PLACES = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/sbin', '/bin'];
const places = (name: string) => [
  ...RUNTIME_PLACES.map((directory) => `${directory}/${name}`),
  `/run/current-system/sw/bin/${name}`,
];

/** Built-in values, those of containers-common 0.68 (the version of Buildah 1.44). Missing `compression_level` has none. */
export const CONTAINERS_DEFAULTS: ContainersConfig = {
  containers: {
    annotations: [],
    apparmor_profile: 'containers-default-0.68.0',
    base_hosts_file: '',
    cgroupns: '',
    cgroups: 'enabled',
    container_name_as_hostname: false,
    default_capabilities: [
      'CAP_CHOWN',
      'CAP_DAC_OVERRIDE',
      'CAP_FOWNER',
      'CAP_FSETID',
      'CAP_KILL',
      'CAP_NET_BIND_SERVICE',
      'CAP_SETFCAP',
      'CAP_SETGID',
      'CAP_SETPCAP',
      'CAP_SETUID',
      'CAP_SYS_CHROOT',
    ],
    default_sysctls: [],
    default_ulimits: [],
    devices: [],
    dns_options: [],
    dns_searches: [],
    dns_servers: [],
    env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    env_host: false,
    host_containers_internal_ip: '',
    http_proxy: true,
    ipcns: 'shareable',
    keyring: true,
    label: true,
    mounts: [],
    netns: 'private',
    no_hosts: false,
    pidns: 'private',
    pids_limit: 2048,
    seccomp_profile: '',
    shm_size: '65536k',
    tz: '',
    umask: '0022',
    userns: '',
    utsns: 'private',
    volumes: [],
  },
  engine: {
    add_compression: [],
    cdi_spec_dirs: ['/etc/cdi', '/var/run/cdi'],
    cgroup_manager: '',
    compression_format: 'gzip',
    env: [],
    helper_binaries_dir: [
      '/usr/local/libexec/podman',
      '/usr/local/lib/podman',
      '/usr/libexec/podman',
      '/usr/lib/podman',
    ],
    hooks_dir: ['/usr/share/containers/oci/hooks.d'],
    image_build_format: 'oci',
    image_copy_tmp_dir: '/var/tmp',
    image_default_transport: 'docker://',
    image_parallel_copies: 0,
    image_volume_mode: 'anonymous',
    no_pivot_root: false,
    pull_policy: 'missing',
    retry: 3,
    retry_delay: '',
    runtime: '',
    runtimes: {
      crun: places('crun'),
      runc: [...places('runc'), '/usr/lib/cri-o-runc/sbin/runc'],
      youki: ['/usr/local/bin/youki', '/usr/bin/youki', '/bin/youki', '/run/current-system/sw/bin/youki'],
      runsc: places('runsc'),
      kata: [
        '/usr/bin/kata-runtime',
        '/usr/sbin/kata-runtime',
        '/usr/local/bin/kata-runtime',
        '/bin/kata-runtime',
      ],
    },
    runtimes_flags: {},
    platform_to_oci_runtime: {},
  },
  network: {
    default_network: 'podman',
    default_rootless_network_cmd: 'pasta',
    default_subnet: '10.88.0.0/16',
    dns_bind_port: 0,
    firewall_driver: '',
    netavark_plugin_dirs: [
      '/usr/local/libexec/netavark',
      '/usr/libexec/netavark',
      '/usr/local/lib/netavark',
      '/usr/lib/netavark',
    ],
    network_backend: '',
    network_config_dir: '',
    pasta_options: [],
  },
  secrets: { driver: 'file', opts: {} },
};
