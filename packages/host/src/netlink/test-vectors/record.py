"""Records what a Linux kernel answers to dump requests, and what iproute2 says about the same tables.

    unshare -n python3 record.py > recorded.json        (as root; changes nothing outside the new namespace)

The datagrams are those of the kernel, byte for byte; `ip` is the output of `ip -N -j` right after, for links without
the settings of each driver.
"""

import json, platform, socket, struct, subprocess, time

SETUP = """
ip link set lo up
ip link add name lan0 group 77 type bridge
ip link set lan0 alias "subnet:10.1.0.0/24" up
ip addr add 10.1.0.1/24 broadcast + dev lan0
ip addr add fd00:1::1/64 dev lan0 nodad
ip tuntap add dev neb0 mode tun
ip link set neb0 mtu 1300 up
ip addr add 192.168.77.1/24 dev neb0
ip addr add 10.5.0.1 peer 10.5.0.2/32 dev neb0
ip addr add fd00:77::1 peer fd00:77::2 dev neb0 nodad
ip link add v0 type veth peer name v1
ip link set v0 up
ip addr add fd00:2::1/64 dev v0
ip addr add 10.99.0.1/32 dev v1 scope link
ip addr add 127.5.0.1/32 dev lo scope host
ip route add default via 10.1.0.254
ip route add 0.0.0.0/1 dev neb0 metric 50
ip route add 10.9.0.0/16 via 10.1.0.2 table 52 metric 100 proto static
ip route add 10.10.0.0/16 dev neb0 table 1000 proto 200 src 192.168.77.1 mtu 1300
ip route add 10.11.0.0/16 nexthop via 10.1.0.2 weight 1 nexthop via 10.1.0.3 weight 2
ip route add 10.12.0.0/16 via inet6 fd00:1::2 dev lan0
ip route add blackhole 10.66.0.0/16
ip route add unreachable 10.67.0.0/16 metric 4278198272
ip route add prohibit 10.68.0.0/16
ip route add throw 192.168.1.0/24 table 52
ip -6 route add default via fd00:1::fffe dev lan0
ip -6 route add fd00:9::/48 via fd00:1::2 dev lan0 metric 7 proto static table 52
ip -6 route add fd00:a::/48 nexthop via fd00:1::2 nexthop via fd00:1::3
ip -6 route add unreachable fd00:b::/48
"""
LINK_FIELDS = ["ifindex", "ifname", "flags", "mtu", "ifalias", "group", "master", "linkinfo"]
LISTS = {
    "link": (["-d", "link"], 0x12, bytes(16) + struct.pack("<HHI", 8, 29, 8)),
    "address": (["addr"], 0x16, bytes(8)),
    "route": (["route", "show", "table", "all"], 0x1A, bytes(12)),
}


def dump(kind, body, sequence):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.bind((0, 0))
        request = struct.pack("<IHHII", 16 + len(body), kind, 0x301, sequence, 0) + body
        link.send(request)
        datagrams = []
        while True:
            datagrams.append(link.recv(65536))
            at = 0
            while at < len(datagrams[-1]):
                length, type = struct.unpack_from("<IH", datagrams[-1], at)
                if type == 3:
                    return request, datagrams
                at += (length + 3) & ~3


def ip(*args):
    return json.loads(subprocess.check_output(["ip", "-N", "-j", *args]))


for line in SETUP.strip().splitlines():
    subprocess.run(["sh", "-ec", line], check=True)
time.sleep(3)  # duplicate address detection of the links that are up
vectors = {
    "source": "record.py beside this file, in a network namespace of its own",
    "kernel": platform.release().split("-")[0],
    "ipVersion": subprocess.check_output(["ip", "-V"], text=True).strip(),
    "setup": SETUP.strip().splitlines(),
}
for sequence, (name, (args, kind, body)) in enumerate(LISTS.items(), 0x1001):
    request, datagrams = dump(kind, body, sequence)
    entries = ip(*args)
    if name == "link":
        entries = [{key: entry[key] for key in LINK_FIELDS if key in entry} for entry in entries]
        for entry in entries:
            entry.get("linkinfo", {}).pop("info_data", None)
    vectors[name] = {
        "sequence": sequence,
        "request": request.hex(),
        "datagrams": [datagram.hex() for datagram in datagrams],
        "ip": entries,
    }
print(json.dumps(vectors, indent=1))
