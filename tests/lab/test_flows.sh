#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What `flows` says of connections, against what their hosts' kernels count.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

declare -A vip=([nat4]=10.0.0.10 [nat6]=fd00:aa::10 [dnat4]=10.0.0.10 [dnat6]=fd00:aa::10 [part]=10.0.0.10)
declare -A port=([nat4]=8000 [nat6]=8000 [dnat4]=8001 [dnat6]=8001 [part]=8002)
upload=300000
download=700000

service() # NAME FORWARD MEASURE
{
	local blue=10.20.0.11 green=10.20.0.13
	[[ $1 != *6 ]] || blue="[fd00:20::11]" green="[fd00:20::13]"
	cat <<-END
		  $1:
		    address: "${vip[$1]}"
		    port: ${port[$1]}
		    forward: $2
		    ${3:+measure: $3}
		    drain: {timeout: 10m, limit: 1h}
		    variants:
		      blue:  {weight: 1, backends: ["$blue:${port[$1]}"]}
		      green: {weight: 0, backends: ["$green:${port[$1]}"]}
	END
}

configuration()
{
	printf 'interfaces: [front, back]\nservices:\n'
	service nat4 nat ""
	service nat6 nat ""
	service dnat4 dnat all
	service dnat6 dnat all
	service part dnat 1/65536
}

# From now on a host's kernel counts the IP bytes that it receives of a connection's other side.
count_received() # HOST FAMILY MATCH
{
	lab_exec "$1" nft -f - <<-END
		table $2 truth {
			counter received {}
			chain prerouting {
				type filter hook prerouting priority raw;
				$3 counter name received
			}
		}
	END
}

received() # HOST FAMILY
{
	lab_exec "$1" nft list counter "$2" truth received | sed -n 's/.* bytes \([0-9]*\).*/\1/p'
}

flow_of() # SERVICE
{
	lab_headgate flows --service "$1" -o json
}

# Acknowledgements of the last bytes may still be under way.
bytes_agree() # SERVICE FAMILY
{
	lab_assert 'd["total"] == 1 and len(d["flows"]) == 1' "$(flow_of "$1")"
	lab_assert "(d['flows'][0]['client_bytes'], d['flows'][0]['server_bytes']) == ($(received green1 "$2"), $(received client "$2"))" \
		"$(flow_of "$1")"
}

# A connection on which so many bytes went either way, and which is still open.
transfer() # SERVICE
{
	lab_traffic_start client "$1" transfer --url-host "${vip[$1]}" --port "${port[$1]}" --upload $upload \
		--file "/file/download" --source-port 33000
}

bytes_are_those_that_the_hosts_received() # SERVICE FAMILY
{
	lab_headgate weights "$1" blue=0 green=1 # dnat keeps flows while slots are moving
	count_received green1 "$2" "tcp dport ${port[$1]}"
	count_received client "$2" "tcp sport ${port[$1]}"
	transfer "$1"
	lab_wait "$1's bytes" bytes_agree "$1" "$2"
	lab_assert "d['flows'][0]['client_bytes'] > $upload and d['flows'][0]['server_bytes'] > $download" "$(flow_of "$1")"
	lab_assert 'd["flows"][0]["state"] == "established" and 0 <= d["flows"][0]["age_s"] < 60' "$(flow_of "$1")"
	lab_traffic_stop "$1"
	lab_exec green1 nft delete table "$2" truth
	lab_exec client nft delete table "$2" truth
}

test_bytes_of_a_nat_flow_over_ipv4_are_exact()
{
	bytes_are_those_that_the_hosts_received nat4 ip
}

test_bytes_of_a_nat_flow_over_ipv6_are_exact()
{
	bytes_are_those_that_the_hosts_received nat6 ip6
}

test_bytes_of_a_measured_dnat_flow_over_ipv4_are_exact()
{
	bytes_are_those_that_the_hosts_received dnat4 ip
}

test_bytes_of_a_measured_dnat_flow_over_ipv6_are_exact()
{
	bytes_are_those_that_the_hosts_received dnat6 ip6
}

test_what_the_server_of_an_unmeasured_dnat_flow_sent_is_not_known()
{
	local table
	lab_headgate weights part blue=0 green=1
	count_received green1 ip "tcp dport ${port[part]}"
	transfer part
	lab_assert '"server_bytes" not in d["flows"][0]' "$(flow_of part)"
	lab_wait "the client's bytes" client_bytes_agree
	table=$(lab_headgate flows --service part)
	[ "$(awk 'NR == 2 { print $NF }' <<<"$table")" = - ] || lab_fail "not unknown:" "$table"
	lab_traffic_stop part
	lab_exec green1 nft delete table ip truth
}

client_bytes_agree()
{
	lab_assert "d['flows'][0]['client_bytes'] == $(received green1 ip)" "$(flow_of part)"
}

lab_begin
lab_standard dnat
# What the switch merged on its way from the splitter is cut again, so that each segment's header is counted.
for host in client green1; do
	lab_exec switch ethtool -K $host tx off tso off gso off >"$LAB/ethtool"
done
head -c $download /dev/zero >"$LAB/files/download"
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests flows
