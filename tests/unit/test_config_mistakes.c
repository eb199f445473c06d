// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Every mistake that a configuration can hold: where it is said to be, and what is said of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "config.h"

/* Lines 1 and 2, and with a service's first keys lines 1 to 6. */
#define TOP "interfaces: [eth0]\nservices:\n"
#define LLM TOP "  llm:\n    address: 10.0.0.10\n    port: 8000\n    forward: nat\n"
#define BLUE "    variants: {blue: {weight: 1, backends: [10.0.1.11:8000]}}\n"

/* The same for udp, whole: lines 1 to 8. */
#define DNS TOP "  dns:\n    address: 10.0.0.10\n    port: 53\n    protocol: udp\n    forward: nat\n" BLUE

#define PACE "a share each second from 1%/s to 1000%/s, as 10%/s or 2.5%/s\n"

/* A service on one line. */
#define SERVICE(name, address, forward, backends)                                                                      \
	"  " name ": {address: " address ", port: 8000, protocol: tcp, forward: " forward                              \
	", variants: {blue: {weight: 1, backends: [" backends "]}}}\n"

/* Of a mode that does not rewrite packets: lines 1 to 6; and of QUIC: lines 1 to 8. The backends are a line more. */
#define MODE(forward) TOP "  llm:\n    address: 10.0.0.10\n    port: 8000\n    forward: " forward "\n"
#define QUIC(value)                                                                                                    \
	TOP "  web:\n    address: 10.0.0.10\n    port: 443\n    protocol: udp\n    forward: nat\n    quic: " value "\n"
#define BACKENDS(list) "    variants: {blue: {weight: 1, backends: [" list "]}}\n"

/* A service with a shadow: lines 1 to 7, the shadow's keys on line 8, from column 14 on. */
#define SHADOW(keys) LLM BLUE "    shadow: {" keys "}\n"
#define TO_ONE "backends: [10.0.4.11:8000], sample: 10"

struct mistake {
	const char *name;
	const char *yaml;
	const char *problems;
};

static const struct mistake mistakes[] = {
	{"an empty file", "", "t.yaml:1:1: the file is empty: write at least interfaces: and services:\n"},
	{"a file of comments only", "# nothing\n",
	 "t.yaml:1:1: the file is empty: write at least interfaces: and services:\n"},
	{"a file that is a list", "- interfaces\n",
	 "t.yaml:1:1: the configuration is a list: write a map with keys out of interfaces, services, limits, flows, "
	 "metrics\n"},
	{"a file that is one word", "headgate\n",
	 "t.yaml:1:1: the configuration is no map: write a map with keys out of interfaces, services, limits, flows, "
	 "metrics\n"},
	{"a slip of YAML syntax", "interfaces: [eth0\nservices: {}\n",
	 "t.yaml:2:9: did not find expected ',' or ']' while parsing a flow sequence: this is not valid YAML; look for "
	 "a slip of indentation, quotes or brackets here\n"},
	{"a tab as indentation", TOP "\tllm: {}\n",
	 "t.yaml:3:1: found character that cannot start any token while scanning for the next token: this is not valid "
	 "YAML; look for a slip of indentation, quotes or brackets here\n"},
	{"bytes that are no UTF-8", "interfaces: [eth0]\nservices: \xff\n",
	 "t.yaml:2:11: invalid leading UTF-8 octet: write the file as plain UTF-8 text\n"},
	{"an alias to nothing", "interfaces: *nowhere\nservices: {}\n",
	 "t.yaml:1:13: found undefined alias: this is not valid YAML; look for a slip of indentation, quotes or "
	 "brackets here\n"},
	{"two documents", "interfaces: [eth0]\nservices: {}\n---\nservices: {}\n",
	 "t.yaml:3:1: a second document begins here: write one, without a further ---\n"},
	{"a top level without its keys", "limits: {}\n",
	 "t.yaml:1:1: the configuration has no interfaces: write interfaces: [eth0]\n"
	 "t.yaml:1:1: the configuration has no services: write services: with a map of services by name, or {} for "
	 "none\n"},
	{"an unknown key near a known one", "interfaces: [eth0]\nservices: {}\nlimit: {}\n",
	 "t.yaml:3:1: unknown key 'limit' in the configuration: did you mean limits? Known are interfaces, services, "
	 "limits, flows, metrics\n"},
	{"an unknown key near none", "interfaces: [eth0]\nservices: {}\ndashboard: {}\n",
	 "t.yaml:3:1: unknown key 'dashboard' in the configuration: known are interfaces, services, limits, flows, "
	 "metrics\n"},
	{"a repeated key", "interfaces: [eth0]\nservices: {}\ninterfaces: [eth1]\n",
	 "t.yaml:3:1: interfaces of the configuration is written twice, first on line 1: remove one\n"},
	{"a key that is a list", "interfaces: [eth0]\nservices: {}\n? [a]\n: b\n",
	 "t.yaml:3:3: a key in the configuration is a list or a map: write a word\n"},
	{"no interface", "interfaces: []\nservices: {}\n",
	 "t.yaml:1:13: 0 interfaces are listed: write from 1 to 64, as [eth0]\n"},
	{"interfaces without a list", "interfaces: eth0\nservices: {}\n",
	 "t.yaml:1:13: interfaces of the configuration is 'eth0': write a list, as [eth0] or [{name: eth0, attach: "
	 "native}]\n"},
	{"the name of an interface that cannot be", "interfaces: [eth0, an-interface-of-16]\nservices: {}\n",
	 "t.yaml:1:20: an item of interfaces is 'an-interface-of-16': write the name of an interface, as eth0\n"},
	{"an interface listed twice", "interfaces:\n  - eth0\n  - {name: eth0, attach: native}\nservices: {}\n",
	 "t.yaml:3:12: interface eth0 is listed twice: write it once\n"},
	{"an unknown attach mode", "interfaces: [{name: eth0, attach: xdp}]\nservices: {}\n",
	 "t.yaml:1:35: attach of an interface is 'xdp': write auto, native, generic or tc\n"},
	{"an unknown way with existing programs", "interfaces: [{name: eth0, existing: replace}]\nservices: {}\n",
	 "t.yaml:1:37: existing of an interface is 'replace': write refuse or chain\n"},
	{"an interface without a name", "interfaces: [{attach: auto}]\nservices: {}\n",
	 "t.yaml:1:14: an interface has no name: write name: eth0\n"},
	{"an interface that is a list", "interfaces: [[eth0]]\nservices: {}\n",
	 "t.yaml:1:14: an item of interfaces is a list: write the name of an interface, as eth0\n"},
	{"a long unknown key", "interfaces: [eth0]\nservices: {}\na-key-that-is-longer-than-any-known-key-can-be: 1\n",
	 "t.yaml:3:1: unknown key 'a-key-that-is-longer-than-any-known-key-can-...' in the configuration: known are "
	 "interfaces, services, limits, flows, metrics\n"},
	{"services left empty", TOP,
	 "t.yaml:2:10: services of the configuration is empty: write a map of services by name, or {} for none\n"},
	{"a limit out of range", "interfaces: [eth0]\nservices: {}\nlimits: {services: 0, flows: 1000000000000}\n",
	 "t.yaml:3:20: services of limits is '0': write a whole number from 1 to 4096\n"
	 "t.yaml:3:30: flows of limits is '1000000000000': write a whole number from 64 to 67108864\n"},
	{"a limit with a leading zero", "interfaces: [eth0]\nservices: {}\nlimits: {backends: 010}\n",
	 "t.yaml:3:20: backends of limits is '010': write a whole number from 1 to 65536\n"},
	{"a time without a unit", "interfaces: [eth0]\nservices: {}\nflows: {udp_idle: 180}\n",
	 "t.yaml:3:19: udp_idle of flows is '180': write a time from 1s to 720h, as 90s, 10m or 2h4m\n"},
	{"a time of nothing", "interfaces: [eth0]\nservices: {}\nflows: {udp_idle: 0s}\n",
	 "t.yaml:3:19: udp_idle of flows is '0s': write a time from 1s to 720h, as 90s, 10m or 2h4m\n"},
	{"units out of order", "interfaces: [eth0]\nservices: {}\nflows: {tcp_idle: 4m2h}\n",
	 "t.yaml:3:19: tcp_idle of flows is '4m2h': write a time from 1s to 720h, as 90s, 10m or 2h4m\n"},
	{"a time beyond all use", "interfaces: [eth0]\nservices: {}\nflows: {tcp_idle: 721h}\n",
	 "t.yaml:3:19: tcp_idle of flows is '721h': write a time from 1s to 720h, as 90s, 10m or 2h4m\n"},
	{"a service name with a capital", TOP "  LLM: {}\n",
	 "t.yaml:3:3: a name of services is 'LLM': write small letters, digits and dashes, at most 63, with no dash in "
	 "front\n"},
	{"a service name of 64 letters", TOP "  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: {}\n",
	 "t.yaml:3:3: a name of services is 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...': write small letters, "
	 "digits and dashes, at most 63, with no dash in front\n"},
	{"a service that is no map", TOP "  llm: 10.0.0.10\n",
	 "t.yaml:3:8: service llm is no map: write a map with keys out of address, port, protocol, forward, tunnel, "
	 "affinity, quic, udp_miss, variants, cohorts, nat, drain, measure, health, shadow, rollout\n"},
	{"a service without its keys", TOP "  llm: {}\n",
	 "t.yaml:3:3: service llm has no address: write address: with the IP address that clients connect to\n"
	 "t.yaml:3:3: service llm has no port: write port: with the port that clients connect to\n"
	 "t.yaml:3:3: service llm has no forward: write forward: nat, dnat, l2dsr, ipip or gue\n"
	 "t.yaml:3:3: service llm has no variants: write variants: with names with weight and backends, as blue: "
	 "{weight: 100, backends: [10.0.1.11:8000]}\n"},
	{"a service written twice",
	 TOP SERVICE("llm", "10.0.0.10", "nat", "10.0.1.11:8000") SERVICE("llm", "10.0.0.11", "nat", "10.0.1.11:8000"),
	 "t.yaml:4:3: service llm is written twice, first on line 3: remove one, or rename it\n"},
	{"an address that is none", TOP "  llm:\n    address: 10.0.0\n    port: 8000\n    forward: nat\n" BLUE,
	 "t.yaml:4:14: address of service llm is '10.0.0': write an IPv4 or IPv6 address, as 10.0.0.10 or fd00::10\n"},
	{"an IPv4 address in IPv6 clothes",
	 TOP "  llm:\n    address: \"::ffff:10.0.0.10\"\n    port: 8000\n    forward: nat\n" BLUE,
	 "t.yaml:4:14: address of service llm is '::ffff:10.0.0.10': write an IPv4 or IPv6 address, as 10.0.0.10 or "
	 "fd00::10\n"},
	{"a multicast address", TOP "  llm:\n    address: 239.0.0.1\n    port: 8000\n    forward: nat\n" BLUE,
	 "t.yaml:4:14: address of service llm is a multicast address: write an address of one host\n"},
	{"an unspecified address", TOP "  llm:\n    address: 0.0.0.0\n    port: 8000\n    forward: nat\n" BLUE,
	 "t.yaml:4:14: address of service llm is an unspecified address: write an address of one host\n"},
	{"the unspecified IPv6 address",
	 TOP "  llm:\n    address: \"::\"\n    port: 8000\n    forward: nat\n    variants: {blue: {weight: 1, "
	     "backends: [\"[fd00::1]:80\"]}}\n",
	 "t.yaml:4:14: address of service llm is the unspecified address: write an address of one host\n"},
	{"the broadcast address", TOP "  llm:\n    address: 255.255.255.255\n    port: 8000\n    forward: nat\n" BLUE,
	 "t.yaml:4:14: address of service llm is the broadcast address: write an address of one host\n"},
	{"a loopback address",
	 TOP "  llm:\n    address: \"::1\"\n    port: 8000\n    forward: nat\n    variants: {blue: {weight: 1, "
	     "backends: [\"[fd00::1]:80\"]}}\n",
	 "t.yaml:4:14: address of service llm is a loopback address: write an address of one host\n"},
	{"a port out of range", TOP "  llm:\n    address: 10.0.0.10\n    port: 65536\n    forward: nat\n" BLUE,
	 "t.yaml:5:11: port of service llm is '65536': write a whole number from 1 to 65535\n"},
	{"a port that is a list", TOP "  llm:\n    address: 10.0.0.10\n    port: [80]\n    forward: nat\n" BLUE,
	 "t.yaml:5:11: port of service llm is a list: write a whole number from 1 to 65535\n"},
	{"an unknown protocol",
	 TOP "  llm:\n    address: 10.0.0.10\n    port: 80\n    protocol: sctp\n"
	     "    forward: nat\n" BLUE,
	 "t.yaml:6:15: protocol of service llm is 'sctp': write tcp or udp\n"},
	{"an unknown forward mode", TOP "  llm:\n    address: 10.0.0.10\n    port: 80\n    forward: gre\n" BLUE,
	 "t.yaml:6:14: forward of service llm is 'gre': write nat, dnat, l2dsr, ipip or gue\n"},
	{"an unknown affinity", LLM "    affinity: cookie\n" BLUE,
	 "t.yaml:7:15: affinity of service llm is 'cookie': write connection or client\n"},
	{"udp_miss for tcp", LLM "    udp_miss: base\n" BLUE,
	 "t.yaml:7:5: udp_miss of service llm has no meaning for tcp: remove it, or write protocol: udp\n"},
	{"no variant", LLM "    variants: {}\n",
	 "t.yaml:7:15: service llm has no variants: write names with weight and backends, as blue: {weight: 100, "
	 "backends: [10.0.1.11:8000]}\n"},
	{"seventeen variants",
	 LLM "    variants:\n      v1: {weight: 1, backends: [10.0.1.1:80]}\n"
	     "      v2: {weight: 1, backends: [10.0.1.2:80]}\n      v3: {weight: 1, backends: [10.0.1.3:80]}\n"
	     "      v4: {weight: 1, backends: [10.0.1.4:80]}\n      v5: {weight: 1, backends: [10.0.1.5:80]}\n"
	     "      v6: {weight: 1, backends: [10.0.1.6:80]}\n      v7: {weight: 1, backends: [10.0.1.7:80]}\n"
	     "      v8: {weight: 1, backends: [10.0.1.8:80]}\n      v9: {weight: 1, backends: [10.0.1.9:80]}\n"
	     "      v10: {weight: 1, backends: [10.0.1.10:80]}\n      v11: {weight: 1, backends: [10.0.1.11:80]}\n"
	     "      v12: {weight: 1, backends: [10.0.1.12:80]}\n      v13: {weight: 1, backends: [10.0.1.13:80]}\n"
	     "      v14: {weight: 1, backends: [10.0.1.14:80]}\n      v15: {weight: 1, backends: [10.0.1.15:80]}\n"
	     "      v16: {weight: 1, backends: [10.0.1.16:80]}\n      v17: {weight: 1, backends: [10.0.1.17:80]}\n",
	 "t.yaml:24:7: service llm has more than 16 variants: remove some\n"},
	{"a variant written twice",
	 LLM "    variants:\n      blue: {weight: 1, backends: [10.0.1.11:8000]}\n"
	     "      blue: {weight: 0, backends: []}\n",
	 "t.yaml:9:7: variant blue of llm is written twice, first on line 8: remove one, or rename it\n"},
	{"a variant without its keys",
	 LLM "    variants:\n      blue: {weight: 1, backends: [10.0.1.11:8000]}\n"
	     "      green: {}\n",
	 "t.yaml:9:7: variant green of llm has no weight: write weight: 0, or how much of the traffic it gets\n"
	 "t.yaml:9:7: variant green of llm has no backends: write backends: [10.0.1.11:8000], or [] for none\n"},
	{"a weight above a million", LLM "    variants: {blue: {weight: 1000001, backends: [10.0.1.11:8000]}}\n",
	 "t.yaml:7:31: weight of variant blue of llm is '1000001': write a whole number from 0 to 1000000\n"},
	{"a weight below zero", LLM "    variants: {blue: {weight: -1, backends: [10.0.1.11:8000]}}\n",
	 "t.yaml:7:31: weight of variant blue of llm is '-1': write a whole number from 0 to 1000000\n"},
	{"a weight without backends",
	 LLM "    variants:\n      blue: {weight: 1, backends: [10.0.1.11:8000]}\n"
	     "      green: {weight: 2, backends: []}\n",
	 "t.yaml:9:23: variant green of llm has weight 2 but no backends: write weight: 0, or give it backends\n"},
	{"weights that are all zero", LLM "    variants: {blue: {weight: 0, backends: [10.0.1.11:8000]}}\n",
	 "t.yaml:7:5: all weights of llm are 0, so that it would serve nobody: give at least one variant a weight "
	 "above 0\n"},
	{"a backend without a port", LLM "    variants: {blue: {weight: 1, backends: [10.0.1.11]}}\n",
	 "t.yaml:7:45: backend of variant blue of llm is '10.0.1.11': write ADDRESS:PORT, as 10.0.1.11:8000 or in "
	 "quotes \"[fd00::1]:8000\"\n"},
	{"an IPv6 backend without quotes",
	 TOP "  llm:\n    address: fd00::10\n    port: 80\n    forward: nat\n    variants: {blue: {weight: 1, "
	     "backends: [[fd00::1]:8000]}}\n",
	 "t.yaml:7:45: backend of variant blue of llm is a map: write ADDRESS:PORT, as 10.0.1.11:8000 or in quotes "
	 "\"[fd00::1]:8000\"\n"},
	{"a backend of the other family", LLM "    variants: {blue: {weight: 1, backends: [\"[fd00::1]:8000\"]}}\n",
	 "t.yaml:7:45: backend '[fd00::1]:8000' of variant blue of llm is not of the service's family: write an IPv4 "
	 "address, as the service's is\n"},
	{"a multicast backend", LLM "    variants: {blue: {weight: 1, backends: [224.0.0.1:8000]}}\n",
	 "t.yaml:7:45: backend '224.0.0.1:8000' of variant blue of llm is a multicast address: write the address of a "
	 "server\n"},
	{"a backend without weight",
	 LLM "    variants: {blue: {weight: 1, backends: [{address: 10.0.1.11:8000, weight: 0}]}}\n",
	 "t.yaml:7:79: weight of a backend of variant blue of llm is '0': write a whole number from 1 to 1000000\n"},
	{"a backend's unknown key",
	 LLM "    variants: {blue: {weight: 1, backends: [{address: 10.0.1.11:8000, wait: 1}]}}\n",
	 "t.yaml:7:71: unknown key 'wait' in a backend of variant blue of llm: known are address, weight, server_id\n"},
	{"a backend twice in a variant",
	 LLM "    variants:\n      blue:\n        weight: 1\n        backends:\n"
	     "          - 10.0.1.11:8000\n          - {address: 10.0.1.11:8000, weight: 2}\n",
	 "t.yaml:12:23: 10.0.1.11:8000/tcp is twice in variant blue of llm, first on line 11: write it once, with a "
	 "weight\n"},
	{"two services at one address",
	 TOP SERVICE("llm", "10.0.0.10", "nat", "10.0.1.11:8000") SERVICE("chat", "10.0.0.10", "nat", "10.0.1.11:8000"),
	 "t.yaml:4:19: 10.0.0.10:8000/tcp is already the address of service llm (line 3): give each service its own "
	 "address, port or protocol\n"},
	{"a backend that is its own service", TOP SERVICE("llm", "10.0.0.10", "nat", "10.0.0.10:8000"),
	 "t.yaml:3:110: backend 10.0.0.10:8000/tcp is the address of service llm (line 3), which would be a loop: "
	 "write the address of a server\n"},
	{"a backend that is another service",
	 TOP SERVICE("llm", "10.0.0.10", "nat", "10.0.0.11:8000")
		 SERVICE("chat", "10.0.0.11", "dnat", "10.0.1.11:8000"),
	 "t.yaml:3:110: backend 10.0.0.11:8000/tcp is the address of service chat (line 4), which would be a loop: "
	 "write the address of a server\n"},
	{"a dnat backend in two services",
	 TOP SERVICE("llm", "10.0.0.10", "dnat", "10.0.1.11:8000")
		 SERVICE("chat", "10.0.0.11", "dnat", "10.0.1.11:8000"),
	 "t.yaml:4:112: 10.0.1.11:8000/tcp is also a backend of variant blue of llm (line 3), and with dnat replies "
	 "are told apart by their source alone: give each variant its own address or port, or use forward: nat in "
	 "both\n"},
	{"a dnat backend in a nat service",
	 TOP SERVICE("llm", "10.0.0.10", "dnat", "10.0.1.11:8000")
		 SERVICE("chat", "10.0.0.11", "nat", "10.0.1.11:8000"),
	 "t.yaml:4:111: 10.0.1.11:8000/tcp is also a backend of variant blue of llm (line 3), and with dnat replies "
	 "are told apart by their source alone: give each variant its own address or port, or use forward: nat in "
	 "both\n"},
	{"a nat backend in a dnat service",
	 TOP SERVICE("llm", "10.0.0.10", "nat", "10.0.1.11:8000") SERVICE("chat", "10.0.0.11", "nat", "10.0.1.11:8000")
		 SERVICE("img", "10.0.0.12", "dnat", "10.0.1.11:8000"),
	 "t.yaml:5:111: 10.0.1.11:8000/tcp is also a backend of variant blue of chat (line 4), and with dnat replies "
	 "are told apart by their source alone: give each variant its own address or port, or use forward: nat in "
	 "both\n"},
	{"a dnat backend in two variants",
	 TOP "  llm:\n    address: 10.0.0.10\n    port: 8000\n    forward: dnat\n"
	     "    variants:\n      blue: {weight: 1, backends: [10.0.1.11:8000]}\n"
	     "      green: {weight: 0, backends: [10.0.1.11:8000]}\n",
	 "t.yaml:9:37: 10.0.1.11:8000/tcp is also a backend of variant blue of llm (line 8), and with dnat replies are "
	 "told apart by their source alone: give each variant its own address or port, or use forward: nat in both\n"},
	{"a cohort of an unknown variant", LLM BLUE "    cohorts: [{source: 10.9.0.0/16, variant: gren}]\n",
	 "t.yaml:8:46: unknown variant 'gren' of llm; it has blue\n"},
	{"a cohort of a variant without backends",
	 LLM "    variants:\n      blue: {weight: 1, backends: [10.0.1.11:8000]}\n"
	     "      green: {weight: 0, backends: []}\n    cohorts: [{source: 10.9.0.0/16, variant: green}]\n",
	 "t.yaml:10:46: green of llm has no backends: give it some in the configuration first\n"},
	{"a cohort of the other family", LLM BLUE "    cohorts: [{source: fd00::/8, variant: blue}]\n",
	 "t.yaml:8:24: fd00::/8 can hold no client of llm, whose address is 10.0.0.10: give an IPv4 prefix\n"},
	{"a cohort with host bits", LLM BLUE "    cohorts: [{source: 10.9.0.1/16, variant: blue}]\n",
	 "t.yaml:8:24: source of a cohort of llm is '10.9.0.1/16': write a prefix with no bits set beyond its length, "
	 "as 10.9.0.0/16\n"},
	{"cohorts that overlap",
	 LLM BLUE
	 "    cohorts:\n      - {source: 10.9.0.0/16, variant: blue}\n      - {source: 10.10.0.0/16, variant: blue}\n"
	 "      - {source: 10.9.8.0/24, variant: blue}\n",
	 "t.yaml:11:18: cohort 10.9.8.0/24 of llm overlaps cohort 10.9.0.0/16 (line 9): write prefixes of which none "
	 "contains another\n"},
	{"a cohort without its keys", LLM BLUE "    cohorts: [{}]\n",
	 "t.yaml:8:15: a cohort of llm has no source: write source: 10.9.0.0/16\n"
	 "t.yaml:8:15: a cohort of llm has no variant: write variant: with the name of one of the service's "
	 "variants\n"},
	{"cohorts that are a map", LLM BLUE "    cohorts: {source: 10.9.0.0/16}\n",
	 "t.yaml:8:14: cohorts of service llm is a map: write a list, as [{source: 10.9.0.0/16, variant: canary}]\n"},
	{"nat sources with dnat",
	 TOP "  llm: {address: 10.0.0.10, port: 8000, protocol: tcp, forward: dnat, variants: {blue: {weight: 1, "
	     "backends: [10.0.1.11:8000]}}, nat: {sources: [10.0.1.5]}}\n",
	 "t.yaml:3:130: nat of service llm has no meaning with forward: dnat: remove it, or write forward: nat\n"},
	{"a nat source of the other family", LLM BLUE "    nat: {sources: [fd00::1]}\n",
	 "t.yaml:8:21: a source of nat of llm is not of the service's family: write an IPv4 address, as the service's "
	 "is\n"},
	{"a nat source twice", LLM BLUE "    nat: {sources: [10.0.1.5, 10.0.1.6, 10.0.1.5]}\n",
	 "t.yaml:8:41: a source of nat of llm is there twice: write it once\n"},
	{"a nat source that is loopback", LLM BLUE "    nat: {sources: [127.0.0.1]}\n",
	 "t.yaml:8:21: a source of nat of llm is a loopback address: write an address of one host\n"},
	{"seventeen nat sources",
	 LLM BLUE "    nat: {sources: [10.0.1.0, 10.0.1.1, 10.0.1.2, 10.0.1.3, 10.0.1.4, 10.0.1.5, 10.0.1.6, 10.0.1.7, "
		  "10.0.1.8, 10.0.1.9, 10.0.1.10, 10.0.1.11, 10.0.1.12, 10.0.1.13, 10.0.1.14, 10.0.1.15, 10.0.1.16]}\n",
	 "t.yaml:8:20: nat of llm has 17 sources: write at most 16\n"},
	{"nat ports the wrong way round", LLM BLUE "    nat: {ports: 20000-10000}\n",
	 "t.yaml:8:18: ports of nat of llm is '20000-10000': write the first and last source port, each from 1024 to "
	 "65535, as 10000-32767\n"},
	{"nat ports that are privileged", LLM BLUE "    nat: {ports: 1-10000}\n",
	 "t.yaml:8:18: ports of nat of llm is '1-10000': write the first and last source port, each from 1024 to "
	 "65535, as 10000-32767\n"},
	{"nat ports without a range", LLM BLUE "    nat: {ports: 10000}\n",
	 "t.yaml:8:18: ports of nat of llm is '10000': write the first and last source port, each from 1024 to 65535, "
	 "as 10000-32767\n"},
	{"a drain limit below its timeout", LLM BLUE "    drain: {timeout: 10m, limit: 5m}\n",
	 "t.yaml:8:34: limit of drain of llm is shorter than its timeout (600s): write at least as much\n"},
	{"an unknown key of drain", LLM BLUE "    drain: {timout: 10m}\n",
	 "t.yaml:8:13: unknown key 'timout' in drain of llm: did you mean timeout? Known are timeout, limit, "
	 "on_change, "
	 "on_rollback, pace\n"},
	{"an unknown drain policy", LLM BLUE "    drain: {on_change: rest, on_rollback: drop}\n",
	 "t.yaml:8:24: on_change of drain of llm is 'rest': write keep or reset\n"
	 "t.yaml:8:43: on_rollback of drain of llm is 'drop': write keep or reset\n"},
	{"a pace without a time", LLM BLUE "    drain: {pace: 10%}\n",
	 "t.yaml:8:19: pace of drain of llm is '10%': write " PACE},
	{"a pace of nothing", LLM BLUE "    drain: {pace: 0.5%/s}\n",
	 "t.yaml:8:19: pace of drain of llm is '0.5%/s': write " PACE},
	{"a pace beyond all use", LLM BLUE "    drain: {pace: 1000.1%/s}\n",
	 "t.yaml:8:19: pace of drain of llm is '1000.1%/s': write " PACE},
	{"a pace of hundredths", LLM BLUE "    drain: {pace: 1.25%/s}\n",
	 "t.yaml:8:19: pace of drain of llm is '1.25%/s': write " PACE},
	{"a pace without its whole part", LLM BLUE "    drain: {pace: .5%/s}\n",
	 "t.yaml:8:19: pace of drain of llm is '.5%/s': write " PACE},
	{"a share to measure that is no power of two", LLM BLUE "    measure: 1/10\n",
	 "t.yaml:8:14: measure of service llm is '1/10': write all, or a share of 1/2, 1/4, 1/8 and so on to "
	 "1/65536\n"},
	{"a share to measure that is too small", LLM BLUE "    measure: 1/131072\n",
	 "t.yaml:8:14: measure of service llm is '1/131072': write all, or a share of 1/2, 1/4, 1/8 and so on to "
	 "1/65536\n"},
	{"metrics for the world", "interfaces: [eth0]\nservices: {}\nmetrics: {listen: 0.0.0.0:9850}\n",
	 "t.yaml:3:19: listen of metrics is '0.0.0.0:9850': write a loopback address and a port, as 127.0.0.1:9850\n"},
	{"metrics without a port", "interfaces: [eth0]\nservices: {}\nmetrics: {listen: 127.0.0.1}\n",
	 "t.yaml:3:19: listen of metrics is '127.0.0.1': write a loopback address and a port, as 127.0.0.1:9850\n"},
	{"metrics without an address", "interfaces: [eth0]\nservices: {}\nmetrics: {}\n",
	 "t.yaml:3:1: metrics has no listen: write listen: 127.0.0.1:9850\n"},
	{"health without a check", LLM BLUE "    health: {path: /health}\n",
	 "t.yaml:8:5: health of llm has no check: write check: http (or https, tcp, grpc), or check: none\n"},
	{"an unknown check", LLM BLUE "    health: {check: ping}\n",
	 "t.yaml:8:21: check of health of llm is 'ping': write none, tcp, http, https or grpc\n"},
	{"an unknown key of health", LLM BLUE "    health: {check: tcp, timout: 1s}\n",
	 "t.yaml:8:26: unknown key 'timout' in health of llm: did you mean timeout? Known are check, port, path, "
	 "service, verify, interval, timeout, rise, fall, passive\n"},
	{"a path for a tcp check", LLM BLUE "    health: {check: tcp, path: /health}\n",
	 "t.yaml:8:26: path of health of llm has no meaning with check: tcp: remove it\n"},
	{"keys of other checks", LLM BLUE "    health: {check: http, service: a, verify: none}\n",
	 "t.yaml:8:27: service of health of llm has no meaning with check: http: remove it\n"
	 "t.yaml:8:39: verify of health of llm has no meaning with check: http: remove it\n"},
	{"a port for no check", LLM BLUE "    health: {check: none, port: 80}\n",
	 "t.yaml:8:27: port of health of llm has no meaning with check: none: remove it\n"},
	{"a path without its slash", LLM BLUE "    health: {check: http, path: health}\n",
	 "t.yaml:8:33: path of health of llm is 'health': write a path as in a URL, as /health\n"},
	{"a path that would end the request line",
	 LLM BLUE "    health: {check: http, path: \"/ HTTP/1.0\\r\\nX: y\"}\n",
	 "t.yaml:8:33: path of health of llm is '/ HTTP/1.0??X: y': write a path as in a URL, as /health\n"},
	{"a path with a fragment", LLM BLUE "    health: {check: http, path: /health#now}\n",
	 "t.yaml:8:33: path of health of llm is '/health#now': write a path as in a URL, as /health\n"},
	{"a service name with a space", LLM BLUE "    health: {check: grpc, service: a b}\n",
	 "t.yaml:8:36: service of health of llm is 'a b': write a service's name, as inference.v1.Completions, or "
	 "leave it out for the whole server\n"},
	{"https that would verify nothing without saying so", LLM BLUE "    health: {check: https}\n",
	 "t.yaml:8:21: health of llm checks over https, and does not verify the certificates that backends show: "
	 "write verify: none to say that this is known\n"},
	{"https that should verify", LLM BLUE "    health: {check: https, verify: full}\n",
	 "t.yaml:8:36: verify of health of llm is 'full': write none\n"},
	{"a timeout beyond the interval", LLM BLUE "    health: {check: tcp, interval: 1s, timeout: 1001ms}\n",
	 "t.yaml:8:49: timeout of health of llm is longer than its interval (1000ms): write at most as much\n"},
	{"an interval that floods", LLM BLUE "    health: {check: tcp, interval: 99ms}\n",
	 "t.yaml:8:36: interval of health of llm is 99ms: write 100ms or more\n"},
	{"times of health that are none", LLM BLUE "    health: {check: tcp, interval: 2, timeout: 9ms}\n",
	 "t.yaml:8:36: interval of health of llm is '2': write a time from 10ms to 1h, as 500ms, 2s or 1m\n"
	 "t.yaml:8:48: timeout of health of llm is '9ms': write a time from 10ms to 1h, as 500ms, 2s or 1m\n"},
	{"a time of health beyond an hour", LLM BLUE "    health: {check: tcp, interval: 3600001ms}\n",
	 "t.yaml:8:36: interval of health of llm is '3600001ms': write a time from 10ms to 1h, as 500ms, 2s or 1m\n"},
	{"a backend that nothing brings back or takes out", LLM BLUE "    health: {check: tcp, rise: 0, fall: 0}\n",
	 "t.yaml:8:32: rise of health of llm is '0': write a whole number from 1 to 100\n"
	 "t.yaml:8:41: fall of health of llm is '0': write a whole number from 1 to 100\n"},
	{"a check of udp backends", DNS "    health: {check: tcp}\n",
	 "t.yaml:9:21: health of dns checks with tcp, and its backends serve udp: write port: with a TCP port of "
	 "theirs "
	 "that tells how they are, or check: none\n"},
	{"connections of udp backends", DNS "    health: {check: none, passive: 5}\n",
	 "t.yaml:9:27: passive of health of dns has no meaning for udp, which has no connections: remove it\n"},
	{"more services than the limit",
	 "interfaces: [eth0]\nlimits: {services: 1}\nservices:\n" SERVICE("llm", "10.0.0.10", "nat", "10.0.1.11:8000")
		 SERVICE("chat", "10.0.0.11", "nat", "10.0.1.11:8000"),
	 "t.yaml:5:3: more services than limits.services (1): remove some, or raise the limit\n"},
	{"more backends than the limit",
	 "interfaces: [eth0]\nlimits: {backends: 2}\nservices:\n" SERVICE(
		 "llm", "10.0.0.10", "nat", "10.0.1.11:8000, 10.0.1.12:8000, 10.0.1.13:8000, 10.0.1.14:8000"),
	 "t.yaml:4:142: more backends than limits.backends (2): remove some, or raise the limit\n"},
	{"an anchor that repeats a mistake",
	 TOP "  llm: &llm\n    address: 10.0.0.10\n    port: 8000\n    forward: nat\n" BLUE "  chat: *llm\n",
	 "t.yaml:4:14: 10.0.0.10:8000/tcp is already the address of service llm (line 4): give each service its own "
	 "address, port or protocol\n"},
	{"several mistakes, in the order of the file",
	 TOP "  llm:\n    port: 0\n    address: 10.0.0.10\n    forward: nat\n    variants: {blue: {weight: 1, "
	     "backends: [10.0.0.10:9, 10.0.1.1]}}\n"
	     "interfaces: []\n",
	 "t.yaml:4:11: port of service llm is '0': write a whole number from 1 to 65535\n"
	 "t.yaml:7:58: backend of variant blue of llm is '10.0.1.1': write ADDRESS:PORT, as 10.0.1.11:8000 or in "
	 "quotes \"[fd00::1]:8000\"\n"
	 "t.yaml:8:1: interfaces of the configuration is written twice, first on line 1: remove one\n"},
	{"a dsr backend with another port", MODE("l2dsr") BACKENDS("10.0.1.11:9000"),
	 "t.yaml:7:45: backend '10.0.1.11:9000' of variant blue of llm has another port than the service, and l2dsr "
	 "does not rewrite packets: write 10.0.1.11 alone, or port 8000\n"},
	{"a tunnel's backend with another port, IPv6", MODE("gue") BACKENDS("\"[fd00::11]:9000\""),
	 "t.yaml:7:45: backend '[fd00::11]:9000' of variant blue of llm has another port than the service, and gue "
	 "does not rewrite packets: write fd00::11 alone, or port 8000\n"},
	{"a dsr backend that is no address", MODE("l2dsr") BACKENDS("server-1"),
	 "t.yaml:7:45: backend of variant blue of llm is 'server-1': write an address, as 10.0.1.11 or fd00::1\n"},
	{"a dsr backend in empty brackets", MODE("ipip") BACKENDS("\"[]\""),
	 "t.yaml:7:45: backend of variant blue of llm is '[]': write an address, as 10.0.1.11 or fd00::1\n"},
	{"a dsr backend of the other family", MODE("l2dsr") BACKENDS("fd00::11"),
	 "t.yaml:7:45: backend 'fd00::11' of variant blue of llm is not of the service's family: write an IPv4 "
	 "address, as the service's is\n"},
	{"a dsr backend that is the service", MODE("l2dsr") BACKENDS("10.0.0.10"),
	 "t.yaml:7:45: backend 10.0.0.10:8000/tcp is the address of service llm (line 4), which would be a loop: write "
	 "the address of a server\n"},
	{"a dsr backend twice, with its port and without", MODE("ipip") BACKENDS("10.0.1.11, 10.0.1.11:8000"),
	 "t.yaml:7:56: 10.0.1.11:8000/tcp is twice in variant blue of llm, first on line 7: write it once, with a "
	 "weight\n"},
	{"a nat backend without a port", LLM BACKENDS("10.0.1.11"),
	 "t.yaml:7:45: backend of variant blue of llm is '10.0.1.11': write ADDRESS:PORT, as 10.0.1.11:8000 or in "
	 "quotes \"[fd00::1]:8000\"\n"},
	{"a tunnel with nat", LLM BLUE "    tunnel: {port: 6080}\n",
	 "t.yaml:8:5: tunnel of service llm has no meaning with forward: nat: remove it, or write forward: ipip or "
	 "forward: gue\n"},
	{"a tunnel with l2dsr", MODE("l2dsr") BLUE "    tunnel: {source: 198.18.0.0/15}\n",
	 "t.yaml:8:5: tunnel of service llm has no meaning with forward: l2dsr: remove it, or write forward: ipip or "
	 "forward: gue\n"},
	{"a port of an ipip tunnel", MODE("ipip") BLUE "    tunnel: {port: 6080}\n",
	 "t.yaml:8:14: port of tunnel of llm has no meaning with forward: ipip, which has none: remove it, or write "
	 "forward: gue\n"},
	{"a tunnel that is a port", MODE("gue") BLUE "    tunnel: 6080\n",
	 "t.yaml:8:13: tunnel of llm is no map: write a map with keys out of source, port\n"},
	{"an unknown key of a tunnel", MODE("gue") BLUE "    tunnel: {destination: 1}\n",
	 "t.yaml:8:14: unknown key 'destination' in tunnel of llm: known are source, port\n"},
	{"a tunnel's port that cannot be", MODE("gue") BLUE "    tunnel: {port: 65536}\n",
	 "t.yaml:8:20: port of tunnel of llm is '65536': write a whole number from 1 to 65535\n"},
	{"a tunnel's source with host bits", MODE("gue") BLUE "    tunnel: {source: 198.18.0.1/15}\n",
	 "t.yaml:8:22: source of tunnel of llm is '198.18.0.1/15': write a prefix with no bits set beyond its length, "
	 "as 198.18.0.0/15, or one of IPv4 and one of IPv6 in []\n"},
	{"a tunnel's source that is loopback", MODE("gue") BLUE "    tunnel: {source: 127.0.0.0/8}\n",
	 "t.yaml:8:22: source of tunnel of llm begins with a loopback address: write addresses of hosts\n"},
	{"a tunnel's source that is everything", MODE("gue") BLUE "    tunnel: {source: 64.0.0.0/2}\n",
	 "t.yaml:8:22: source of tunnel of llm is '64.0.0.0/2': write a prefix of at least 8 bits\n"},
	{"a tunnel's source that is all of IPv6", MODE("gue") BLUE "    tunnel: {source: \"::/0\"}\n",
	 "t.yaml:8:22: source of tunnel of llm begins with the unspecified address: write addresses of hosts\n"},
	{"two sources of one family", MODE("ipip") BLUE "    tunnel: {source: [198.18.0.0/16, 198.19.0.0/16]}\n",
	 "t.yaml:8:38: a source of tunnel of llm is the second of its family: write one IPv4 and one IPv6 prefix\n"},
	{"a source in a list that is none", MODE("ipip") BLUE "    tunnel: {source: [10.0.0.1/8, 100::/64]}\n",
	 "t.yaml:8:23: a source of tunnel of llm is '10.0.0.1/8': write a prefix with no bits set beyond its length, "
	 "as 198.18.0.0/15, or one of IPv4 and one of IPv6 in []\n"},
	{"nat sources with a tunnel", MODE("gue") BLUE "    nat: {sources: [10.0.1.5]}\n",
	 "t.yaml:8:5: nat of service llm has no meaning with forward: gue: remove it, or write forward: nat\n"},
	{"measuring without replies", MODE("l2dsr") BLUE "    measure: all\n",
	 "t.yaml:8:5: measure of service llm has no meaning with forward: l2dsr, which sees no replies: remove it\n"},
	{"passive health without replies", MODE("ipip") BLUE "    health: {check: none, passive: 5}\n",
	 "t.yaml:8:27: passive of health of llm has no meaning with forward: ipip, which sees no replies: remove it\n"},
	{"quic over tcp", LLM BLUE "    quic: true\n",
	 "t.yaml:8:5: quic of service llm has no meaning for tcp: remove it, or write protocol: udp\n"},
	{"quic that is neither true nor false", QUIC("yes") BACKENDS("10.0.1.11:443"),
	 "t.yaml:8:11: quic of service web is 'yes': write true, false, or {server_id_length: 2}\n"},
	{"quic that is a list", QUIC("[true]") BACKENDS("10.0.1.11:443"),
	 "t.yaml:8:11: quic of service web is a list: write true, false, or {server_id_length: 2}\n"},
	{"quic without its key", QUIC("{}") BACKENDS("10.0.1.11:443"),
	 "t.yaml:8:5: quic of web has no server_id_length: write server_id_length: 2, or quic: true\n"},
	{"a server id of no length", QUIC("{server_id_length: 0}") BACKENDS("10.0.1.11:443"),
	 "t.yaml:8:30: server_id_length of quic of web is '0': write a whole number from 1 to 8\n"},
	{"a server id of too many bytes", QUIC("{server_id_length: 9}") BACKENDS("10.0.1.11:443"),
	 "t.yaml:8:30: server_id_length of quic of web is '9': write a whole number from 1 to 8\n"},
	{"udp_miss with quic", QUIC("true") "    udp_miss: base\n" BACKENDS("10.0.1.11:443"),
	 "t.yaml:9:5: udp_miss of service web has no meaning with quic: remove it\n"},
	{"a server id that nothing asks for", QUIC("true") BACKENDS("{address: 10.0.1.11:443, server_id: 0x0011}"),
	 "t.yaml:9:70: server_id of a backend of variant blue of web has no meaning without quic: {server_id_length: "
	 "..} of the service: remove it, or write that\n"},
	{"a backend without a server id", QUIC("{server_id_length: 2}") BACKENDS("10.0.1.11:443"),
	 "t.yaml:9:45: backend of variant blue of web has no server_id, which quic: {server_id_length: 2} asks for: "
	 "write {address: .., server_id: ..} with 4 hexadecimal digits, as 0x0011\n"},
	{"a map of a backend without a server id", QUIC("{server_id_length: 2}") BACKENDS("{address: 10.0.1.11:443}"),
	 "t.yaml:9:45: backend of variant blue of web has no server_id, which quic: {server_id_length: 2} asks for: "
	 "write {address: .., server_id: ..} with 4 hexadecimal digits, as 0x0011\n"},
	{"a server id of another length",
	 QUIC("{server_id_length: 2}") BACKENDS("{address: 10.0.1.11:443, server_id: 0x11}"),
	 "t.yaml:9:81: server_id of a backend of variant blue of web is '0x11': write 4 hexadecimal digits, as "
	 "0x0011\n"},
	{"a server id that is not hexadecimal",
	 QUIC("{server_id_length: 2}") BACKENDS("{address: 10.0.1.11:443, server_id: 00g1}"),
	 "t.yaml:9:81: server_id of a backend of variant blue of web is '00g1': write 4 hexadecimal digits, as "
	 "0x0011\n"},
	{"two servers with one server id",
	 QUIC("{server_id_length: 2}")
		 BACKENDS("{address: 10.0.1.11:443, server_id: 0x00aB}, {address: 10.0.1.12:443, server_id: 00Ab}"),
	 "t.yaml:9:100: server_id of this backend of web is already that of 10.0.1.11:443 (line 9): give each server "
	 "its own\n"},
	{"a shadow that is no map", LLM BLUE "    shadow: 10.0.4.11:8000\n",
	 "t.yaml:8:13: shadow of llm is no map: write a map with keys out of backends, sample, engine, always, never, "
	 "sources, ports, dscp, packets_per_second, linger, memory, replay_connection_memory, connection_segments, "
	 "pause\n"},
	{"a shadow without its keys", SHADOW(""),
	 "t.yaml:8:5: shadow of llm has no backends: write backends: [10.0.4.11:8000]\n"
	 "t.yaml:8:5: shadow of llm has no sample: write sample: 10, or sample: 0 for none yet\n"},
	{"a shadow without backends", SHADOW("backends: [], sample: 10"),
	 "t.yaml:8:24: shadow of llm has 0 backends: write from 1 to 16, as [10.0.4.11:8000]\n"},
	{"a shadow's backend without a port", SHADOW("backends: [10.0.4.11], sample: 10"),
	 "t.yaml:8:25: a backend of shadow of llm is '10.0.4.11': write ADDRESS:PORT, as 10.0.4.11:8000 or in quotes "
	 "\"[fd00::4]:8000\"\n"},
	{"a shadow's backend with a weight", SHADOW("backends: [{address: 10.0.4.11:8000, weight: 2}], sample: 10"),
	 "t.yaml:8:51: unknown key 'weight' in a backend of shadow of llm: known are address\n"},
	{"a shadow that nothing can be sent to", SHADOW("backends: [224.0.0.1:8000], sample: 10"),
	 "t.yaml:8:25: backend '224.0.0.1:8000' of shadow of llm is a multicast address: write the address of a "
	 "server\n"},
	{"a shadow of the other family", SHADOW("backends: [\"[fd00::4]:8000\"], sample: 10"),
	 "t.yaml:8:25: a backend of shadow of llm is not of the service's family: write an IPv4 address, as the "
	 "service's is\n"},
	{"a shadow that is a backend", SHADOW("backends: [10.0.1.11:8000], sample: 10"),
	 "t.yaml:8:25: 10.0.1.11 is also the address of a backend of variant blue of llm (line 7), and nothing that "
	 "comes from a shadow's address is forwarded: give the shadow an address of its own\n"},
	{"a shadow on another port of a backend of another service",
	 SHADOW(TO_ONE) SERVICE("other", "10.0.0.11", "nat", "10.0.4.11:9000"),
	 "t.yaml:8:25: 10.0.4.11 is also the address of a backend of variant blue of other (line 9), and nothing that "
	 "comes from a shadow's address is forwarded: give the shadow an address of its own\n"},
	{"a shadow that is a service", SHADOW("backends: [10.0.0.10:9000], sample: 10"),
	 "t.yaml:8:25: 10.0.0.10 is the address of service llm (line 4): write the address of a server that nobody is "
	 "sent to\n"},
	{"a shadow written twice", SHADOW("backends: [10.0.4.11:8000, 10.0.4.11:8000], sample: 10"),
	 "t.yaml:8:41: 10.0.4.11 is twice in the shadow of llm: write it once\n"},
	{"a shadow with two engines",
	 SHADOW(TO_ONE) "  other: {address: 10.0.0.11, port: 80, forward: nat, variants: {blue: {weight: 1, backends: "
			"[10.0.1.12:8000]}}, shadow: {" TO_ONE ", engine: replay}}\n",
	 "t.yaml:9:134: 10.0.4.11 is also in the shadow of llm (line 8), which has another engine: give each an "
	 "address "
	 "of its own, or both the same engine\n"},
	{"a sample that is too fine", SHADOW("backends: [10.0.4.11:8000], sample: 0.001"),
	 "t.yaml:8:50: sample of shadow of llm is '0.001': write how many percent of connections are mirrored, from 0 "
	 "to "
	 "100 in steps of 0.01, as 10 or 0.5\n"},
	{"a sample above all", SHADOW("backends: [10.0.4.11:8000], sample: 100.01"),
	 "t.yaml:8:50: sample of shadow of llm is '100.01': write how many percent of connections are mirrored, from 0 "
	 "to 100 in steps of 0.01, as 10 or 0.5\n"},
	{"a sample below none", SHADOW("backends: [10.0.4.11:8000], sample: -1"),
	 "t.yaml:8:50: sample of shadow of llm is '-1': write how many percent of connections are mirrored, from 0 to "
	 "100 in steps of 0.01, as 10 or 0.5\n"},
	{"an unknown engine", SHADOW(TO_ONE ", engine: tee"),
	 "t.yaml:8:62: engine of shadow of llm is 'tee': write inline or replay\n"},
	{"replay of udp", DNS "    shadow: {" TO_ONE ", engine: replay}\n",
	 "t.yaml:9:62: engine of shadow of dns is replay, which is for tcp: write engine: inline, or leave it out\n"},
	{"a shadow of quic", QUIC("true") BACKENDS("10.0.1.11:443") "    shadow: {" TO_ONE "}\n",
	 "t.yaml:10:5: shadow of service web has no meaning with quic: a shadow has not the keys of the connections "
	 "that it would get copies of; remove it\n"},
	{"always and never at once", SHADOW(TO_ONE ", always: [10.9.0.0/16], never: [10.9.1.0/24]"),
	 "t.yaml:8:85: 10.9.1.0/24 (never) of shadow of llm overlaps 10.9.0.0/16 (always): write prefixes of which "
	 "none "
	 "contains another\n"},
	{"a rule within another", SHADOW(TO_ONE ", always: [10.9.0.0/16, 10.9.0.1]"),
	 "t.yaml:8:76: 10.9.0.1/32 (always) of shadow of llm overlaps 10.9.0.0/16 (always): write prefixes of which "
	 "none contains another\n"},
	{"a rule with host bits", SHADOW(TO_ONE ", never: [10.9.0.1/16]"),
	 "t.yaml:8:62: a prefix of shadow of llm is '10.9.0.1/16': write a prefix with no bits set beyond its length, "
	 "as 10.9.0.0/16\n"},
	{"a rule of the other family", SHADOW(TO_ONE ", never: [fd00::/8]"),
	 "t.yaml:8:62: a prefix of shadow of llm is not of the service's family: write an IPv4 prefix, as the "
	 "service's "
	 "is\n"},
	{"a shadow's source of the other family", SHADOW(TO_ONE ", sources: [\"fd00::9\"]"),
	 "t.yaml:8:64: a source of shadow of llm is not of the service's family: write an IPv4 address, as the "
	 "service's is\n"},
	{"a shadow's ports below 1024", SHADOW(TO_ONE ", ports: 80-90"),
	 "t.yaml:8:61: ports of shadow of llm is '80-90': write the first and last source port, each from 1024 to "
	 "65535, as 10000-32767\n"},
	{"a mark of more than six bits", SHADOW(TO_ONE ", dscp: 64"),
	 "t.yaml:8:60: dscp of shadow of llm is '64': write a whole number from 0 to 63\n"},
	{"a cap of nothing", SHADOW(TO_ONE ", packets_per_second: 0"),
	 "t.yaml:8:74: packets_per_second of shadow of llm is '0': write a whole number from 1 to 100000000\n"},
	{"memory of inline", SHADOW(TO_ONE ", memory: 64MiB, replay_connection_memory: 1MiB"),
	 "t.yaml:8:54: memory of shadow of llm has no meaning with engine: inline, which counts segments: write "
	 "connection_segments instead\n"
	 "t.yaml:8:69: replay_connection_memory of shadow of llm has no meaning with engine: inline, which counts "
	 "segments: write connection_segments instead\n"},
	{"segments and ports of replay", SHADOW(TO_ONE ", engine: replay, ports: 2000-3000, connection_segments: 9"),
	 "t.yaml:8:70: ports of shadow of llm has no meaning with engine: replay, whose source ports the kernel "
	 "chooses: "
	 "remove it\n"
	 "t.yaml:8:88: connection_segments of shadow of llm has no meaning with engine: replay, which counts bytes: "
	 "write replay_connection_memory instead\n"},
	{"memory without a unit", SHADOW(TO_ONE ", engine: replay, memory: 64"),
	 "t.yaml:8:78: memory of shadow of llm is '64': write an amount of memory from 64KiB to 64GiB, as 64MiB\n"},
	{"memory of one above that of all",
	 SHADOW(TO_ONE ", engine: replay, memory: 1MiB, replay_connection_memory: 2MiB"),
	 "t.yaml:8:110: replay_connection_memory of shadow of llm is more than its memory for all connections: write "
	 "at "
	 "most as much\n"},
	{"a pause that is no share", SHADOW(TO_ONE ", pause: {lost: 0, unanswered: 101%, of: 0}"),
	 "t.yaml:8:68: lost of pause of shadow of llm is '0': write a share from 0.01% to 100%, as 5% or 0.5%\n"
	 "t.yaml:8:83: unanswered of pause of shadow of llm is '101%': write a share from 0.01% to 100%, as 5% or "
	 "0.5%\n"
	 "t.yaml:8:93: of of pause of shadow of llm is '0': write a whole number from 1 to 1000000\n"},
	{"a pause that is neither off nor a map", SHADOW(TO_ONE ", pause: never"),
	 "t.yaml:8:61: pause of shadow of llm is 'never': write off, or {lost: 5%, unanswered: 50%, of: 200}\n"},
	{"control characters in a value", "interfaces: [\"a\\n\\x9b\\0b\"]\nservices: {}\n",
	 "t.yaml:1:14: an item of interfaces is 'a????b': write the name of an interface, as eth0\n"},
};

static void test_mistake(void **state)
{
	const struct mistake *mistake = *state;
	struct problems problems = {};
	struct model *model = NULL;
	size_t lines = 0;

	assert_int_equal(config_parse("t.yaml", mistake->yaml, strlen(mistake->yaml), &problems, &model), -EINVAL);
	assert_null(model);
	assert_string_equal(problems.text, mistake->problems);
	for (const char *p = problems.text; *p; p++)
		lines += *p == '\n';
	assert_int_equal(problems.count, lines);
	problems_clear(&problems);
	assert_null(problems.text);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(mistakes)] = {};

	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
		tests[i].name = mistakes[i].name;
		tests[i].test_func = test_mistake;
		tests[i].initial_state = (void *)&mistakes[i];
	}
	return cmocka_run_group_tests_name("mistakes in a configuration", tests, NULL, NULL);
}
