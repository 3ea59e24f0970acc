/** A network that a widespread program takes unless it is told otherwise. */
export interface KnownPool {
  readonly cidr: string;
  /** For people. */
  readonly name: string;
  /** Where the program says so. */
  readonly source: string;
}

/**
 * Networks that may appear on the machine, or on the networks it visits, although no route shows them today. What is
 * chosen automatically keeps away from them; who asks for one by name gets it with a warning. Left out are pools that
 * leave nothing else: 10.0.0.0/8 of Docker Swarm and Cilium, 10.128.0.0/9 of Google Cloud, 192.168.0.0/16 of homes.
 */
export const KNOWN_POOLS: readonly KnownPool[] = [
  { cidr: '10.0.2.0/24', name: 'QEMU and VirtualBox NAT', source: 'qemu -netdev user, net=; VirtualBox manual, NAT' },
  { cidr: '10.0.3.0/24', name: 'LXC', source: 'lxc-net, LXC_NETWORK' },
  { cidr: '10.8.0.0/24', name: 'OpenVPN', source: 'openvpn sample server.conf, server' },
  { cidr: '10.32.0.0/12', name: 'Weave Net', source: 'weave launch --ipalloc-range' },
  { cidr: '10.42.0.0/16', name: 'K3s pods', source: 'k3s server --cluster-cidr' },
  { cidr: '10.43.0.0/16', name: 'K3s services', source: 'k3s server --service-cidr' },
  { cidr: '10.85.0.0/16', name: 'CRI-O', source: 'cri-o contrib/cni/11-crio-ipv4-bridge.conflist' },
  { cidr: '10.88.0.0/16', name: 'Podman', source: 'containers.conf(5), default_subnet' },
  { cidr: '10.89.0.0/16', name: 'Podman networks', source: 'containers.conf(5), default_subnet_pools' },
  { cidr: '10.96.0.0/12', name: 'Kubernetes services', source: 'kubeadm init --service-cidr' },
  { cidr: '10.152.183.0/24', name: 'MicroK8s services', source: 'MicroK8s launch configuration, service-cidr' },
  { cidr: '10.244.0.0/16', name: 'Kubernetes pods', source: 'flannel kube-flannel.yml, Network' },
  { cidr: '100.64.0.0/10', name: 'Tailscale and carriers', source: 'RFC 6598; tailscale net/tsaddr, CGNATRange' },
  { cidr: '172.17.0.0/16', name: 'Docker', source: 'dockerd default-address-pools' },
  { cidr: '172.18.0.0/15', name: 'Docker networks', source: 'dockerd default-address-pools' },
  { cidr: '172.20.0.0/14', name: 'Docker networks', source: 'dockerd default-address-pools' },
  { cidr: '172.24.0.0/14', name: 'Docker networks', source: 'dockerd default-address-pools' },
  { cidr: '172.28.0.0/14', name: 'Docker networks', source: 'dockerd default-address-pools' },
  { cidr: '192.168.49.0/24', name: 'minikube', source: 'minikube start --subnet' },
  { cidr: '192.168.56.0/24', name: 'VirtualBox host-only', source: 'VirtualBox manual, host-only networking' },
  { cidr: '192.168.65.0/24', name: 'Docker Desktop', source: 'Docker Desktop settings, subnet' },
  { cidr: '192.168.122.0/24', name: 'libvirt', source: 'libvirt network default.xml' },
  { cidr: 'fd7a:115c:a1e0::/48', name: 'Tailscale', source: 'tailscale net/tsaddr, TailscaleULARange' },
];
