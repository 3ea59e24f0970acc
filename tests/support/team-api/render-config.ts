import type { TeamNode } from './team-organization.ts';

/** The configuration the server gives by default: everybody on UDP 4242 and `nebula1`, certificates and key inline. */
export function renderConfig(node: TeamNode, lighthouses: readonly TeamNode[], authority: string): string {
  const lines = [
    'pki:',
    ...block('ca', authority),
    ...block('cert', node.certificate),
    ...block('key', node.key),
    lighthouses.length === 0 ? 'static_host_map: {}' : 'static_host_map:',
    ...lighthouses.map(
      ({ ip, fqdn, publicIp, externalPort }) => `  ${ip}: ["${fqdn ?? publicIp ?? ip}:${externalPort}"]`,
    ),
    'lighthouse:',
    `  am_lighthouse: ${node.isLighthouse}`,
    '  interval: 60',
    ...(node.isLighthouse || lighthouses.length === 0
      ? []
      : [`  hosts: [${lighthouses.map(({ ip }) => ip).join(', ')}]`]),
    'listen:',
    '  host: 0.0.0.0',
    `  port: ${node.externalPort}`,
    'punchy:',
    '  punch: True',
    '  respond: True',
    'relay:',
    '  am_relay: False',
    '  use_relays: True',
    'tun:',
    '  disabled: False',
    '  dev: nebula1',
    '  tx_queue: 500',
    '  mtu: 1300',
    'logging:',
    '  level: info',
    '  format: text',
    'firewall:',
    '  outbound:',
    '    - { port: any, proto: any, host: any }',
    '  inbound:',
    '    - { port: 0, proto: icmp, host: any }',
    ...node.openPorts.map((port) => `    - { port: ${port}, proto: tcp, host: any }`),
  ];
  return `${lines.join('\n')}\n`;
}

function block(name: string, text: string): string[] {
  return [
    `  ${name}: |`,
    ...text
      .trimEnd()
      .split('\n')
      .map((line) => `    ${line}`),
  ];
}
