"""Records the requests with which iproute2 changes a Linux kernel, as seen by strace.

    unshare -n python3 record-requests.py > recorded-requests.json        (as root; changes nothing outside)

Of each command the last message it sends, byte for byte. The sequence number is the time, and comes with it.
"""

import json, re, subprocess, tempfile

COMMANDS = """
ip link add name br0 group 77 type bridge
ip link set dev br0 up
ip addr add 10.1.0.1/24 broadcast + dev br0
ip addr add 10.2.0.1/24 dev br0
ip addr add fd00:1::1/64 dev br0 nodad
ip route add unicast 10.9.0.0/16 via 10.1.0.2 dev br0 table 1052 proto 200 metric 100
ip route add unicast 10.8.0.0/16 dev br0 table 254 proto static
ip route add unicast default via 10.1.0.3 dev br0 table 52 proto boot
ip -6 route add unicast fd00:9::/48 via fd00:1::2 dev br0 table 52 proto 200 metric 7
ip route del unicast 10.9.0.0/16 via 10.1.0.2 dev br0 table 1052 proto 200 metric 100
ip route del unicast 10.8.0.0/16 dev br0 table 254 proto static
ip -6 route del unicast fd00:9::/48 via fd00:1::2 dev br0 table 52 proto 200 metric 7
ip addr del 10.1.0.1/24 dev br0
ip addr del fd00:1::1/64 dev br0
ip link set dev br0 alias heddle:subnet:10.1.0.0/24 mtu 1400 group 78 down
ip link set dev br0 alias ö
ip link del dev br0
"""


def last_request(command):
    with tempfile.NamedTemporaryFile() as log:
        options = ["-e", "trace=sendmsg,sendto", "-e", "write=all", "-o", log.name]
        subprocess.run(["strace", *options, *command.split()], check=True)
        lines = log.read().decode().splitlines()
    calls = []
    for line in lines:
        if line.startswith("send"):
            calls.append("")
        dumped = re.match(r" \| [0-9a-f]+  ((?:[0-9a-f]{2} +)+)", line)
        if dumped:
            calls[-1] += dumped[1].replace(" ", "")
    return calls[-1]


version = subprocess.check_output(["ip", "-V"], text=True).strip()
commands = COMMANDS.strip().splitlines()
requests = []
for command in commands:
    requests.append({"command": command, "request": last_request(command)})
vectors = {"source": "record-requests.py beside this file", "ipVersion": version, "requests": requests}
print(json.dumps(vectors, indent=1, ensure_ascii=False))
