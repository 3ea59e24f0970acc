/** IP protocol numbers that the filter treats in their own way; every other number is treated alike. */
export const IP_PROTOCOL = { icmpv4: 1, tcp: 6, udp: 17, icmpv6: 58, tsmp: 99, sctp: 132 } as const;
