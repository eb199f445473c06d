#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Shows the whole of Headgate on a lab, with real servers and clients, and writes what it measured to BUILD/demo.json.
# Exits 1 when one of its claims does not hold.
set -eu

LAB_BUILD=$(realpath "${1:-build}")
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/shadow.sh
. "$(dirname "$0")/shadow.sh"
# shellcheck source=tests/lab/rollout.sh
. "$(dirname "$0")/rollout.sh"

vip=10.0.0.10
target=(--url-host "$vip" --port 8000)
violated=0
step=0

say()
{
	step=$((step + 1))
	printf '\n%d. %s\n' "$step" "$*"
}

tell()
{
	printf '   %s\n' "$*"
}

# Says whether what the demo claims is so.
claim() # WHAT EXPRESSION JSON [NAME=JSON...]
{
	if lab_assert "$2" "${@:3}" 2>"$LAB/claim"; then
		tell "yes: $1"
	else
		tell "NO, VIOLATED: $1"
		sed 's/^/        /' "$LAB/claim"
		violated=1
	fi
}

services()
{
	lab_api GET /v1/services
}

ROLLOUT_PORTS=8100
ROLLOUT_PORT=([wiki]=8100)

opened='sum(v["opened"] for v in %s["services"][0]["variants"])'
# shellcheck disable=SC2059 # a format on purpose
opened_grew=$(printf "$opened - $opened" d before)

begin()
{
	lab_begin
	lab_standard nat
	lab_host shadow back 10.20.0.21 fd00:20::21
	cat >"$LAB/headgate.yaml" <<-END
		interfaces: [front, back]
		metrics: {listen: "127.0.0.1:9850"}
		services:
		  web:
		    address: $vip
		    port: 8000
		    protocol: tcp
		    forward: nat
		    variants:
		      blue:   {weight: 100, backends: [10.20.0.11:8000, 10.20.0.12:8000]}
		      green:  {weight: 0, backends: [10.20.0.13:8000, 10.20.0.14:8000]}
		      canary: {weight: 0, backends: [10.20.0.15:8000]}
		    shadow: {backends: [10.20.0.21:8000], sample: 0}
	END
	rollout_service wiki 8100 nat >>"$LAB/headgate.yaml" <<-END
		rollout:
		  strategy: canary
		  stable: blue
		  candidate: canary
		  steps: [{weight: 10}, {weight: 50}, {weight: 100}]
		  analysis:
		    interval: 1s
		    min_samples: 20
		    metrics:
		      - {name: error-rate, source: dataplane, compare: stable, tolerance: 1.25}
		      - {name: first-byte-p95, source: dataplane, compare: stable, tolerance: 1.0}
	END
	for host in blue1 canary1; do rollout_serve $host; done
	lab_splitter "$LAB/headgate.yaml"
	lab_hops_known
}

say "A lab of network namespaces: one client, a splitter, five nginx (two blue, two green, one canary)."
begin
tell "interface and mode: $(lab_json '", ".join("%s %s" % (i["name"], i["mode"]) for i in d["interfaces"])' \
	"$(lab_api GET /v1/status)"); service web at $vip:8000, all weight on blue"
lab_traffic_start client kept keepalive "${target[@]}" --connections 50
tell "50 keep-alive connections are open; they will make requests through all that follows"

say "Canary: headgate weights web blue=90 canary=10, then 2000 connections."
lab_headgate weights web blue=90 canary=10 | sed 's/^/   | /'
before=$(services)
split=$(lab_traffic client requests "${target[@]}" --count 2000)
kernel_opened=$(lab_json "$opened_grew" "$(services)" before="$before")
tell "$(lab_json '"%d answers in %s s: %s" % (d["requests"] - d["failed"], d["seconds"], d["variants"])' "$split")"
claim "no request failed" 'd["failed"] == 0' "$split"
claim "canary's share is within three standard deviations of 10 % (200 ± 40.2)" \
	'abs(d["variants"].get("canary", 0) - 200) <= 3 * (2000 * 0.1 * 0.9) ** 0.5' "$split"
claim "the kernel counted as many connections as were made: $kernel_opened" 'd["requests"] == n' "$split" \
	n="$kernel_opened"

say "Blue/green: headgate switch web green, while 300 new connections start every second."
lab_traffic_start client load continuous "${target[@]}" --rate 300 --record "$LAB/load.json"
sleep 1
command=$(lab_exec splitter "$LAB_SOURCE/traffic.py" timed "$LAB_BUILD/headgate" --socket "$LAB/api.sock" switch web green)
sleep 1
load=$(lab_traffic_stop load)
after=$(lab_traffic client query --record "$LAB/load.json" --after "$(lab_json 'd["end"]' "$command")")
claim "the command went well" 'd["exit"] == 0' "$command"
tell "the command took $(lab_json 'd["ms"]' "$command") ms; answers: $(lab_json 'd["variants"]' "$load")," \
	"from connections started after it returned: $(lab_json 'd["variants"]' "$after")"
claim "no request failed" 'd["failed"] == 0 and d["requests"] > 300' "$load"
claim "no connection that started after the command returned reached blue, and green got them" \
	'd["variants"].get("blue", 0) == 0 and d["variants"].get("green", 0) > 0' "$after"

say "headgated is killed (kill -9) under load; the data path stays in the kernel."
lab_traffic_start client orphaned continuous "${target[@]}" --rate 250 --seconds 2
sleep 0.5
lab_stop headgated KILL
tell "headgated is dead"
LAB_WAIT_S=30 lab_wait "500 requests" lab_event orphaned end >/dev/null
orphaned=$(lab_event orphaned end)
tell "$(lab_json '"%d requests around its death: %s" % (d["requests"], d["variants"])' "$orphaned")"
claim "none of them failed" 'd["failed"] == 0' "$orphaned"

say "headgated is started again, and adopts what it finds."
before=$(services 2>/dev/null || true)
[ -z "$before" ] || tell "NO, VIOLATED: somebody still answers at the API of a dead daemon"
lab_splitter "$LAB/headgate.yaml"
status=$(lab_api GET /v1/status)
restarted=$(lab_traffic client requests "${target[@]}" --count 500)
claim "it adopted the running data path" 'd["adopted"] is True' "$status"
claim "the weights decided before are still in force: all on green" \
	'{v["name"]: v["weight"] > 0 for v in d["services"][0]["variants"]} == {"blue": False, "green": True, "canary": False}' \
	"$status"
# shellcheck disable=SC2059
claim "its counters went on: at least the $(lab_json '2000 + d["requests"] + n["requests"] + 50' "$load" n="$orphaned") opened before" \
	"$(printf "$opened" d) >= 2050 + load[\"requests\"] + orphaned[\"requests\"]" "$status" load="$load" orphaned="$orphaned"
claim "500 more requests, none failed" 'd["failed"] == 0 and d["requests"] == 500' "$restarted"

say "And the 50 keep-alive connections?"
kept=$(lab_traffic_stop kept)
tell "$(lab_json '"%d requests on %d connections, all begun on %s" % (d["requests"], d["connections"], ", ".join(d["variants"]))' "$kept")"
claim "none broke, none was ever answered by another server" 'd["broken"] == 0 and d["moved"] == 0' "$kept"

say "Shadow: headgate shadow web sample 100, then 500 connections of 5 requests with up to 60 kB; the shadow answers at length."
SHADOW_VIP[web]=$vip
shadow_serve --factor 20
watch_begin client
lab_headgate shadow web sample 100 | sed 's/^/   | /'
shadow_remember web
production=$(shadow_clients web demo --connections 500 --answer 2000 --any-answer)
shadow=$(shadow_settled web)
lab_headgate shadow web sample 0 | sed 's/^/   | /'
truth=$("$LAB_SOURCE/shadow_judge.py" compare --run demo --client "$LAB/client.truth" --shadow "$LAB/shadow.truth")
leaked=$(watch_end client)
tell "$(lab_json '"%d connections mirrored, %d whole (%.1f %%); it got %d requests and answered %.1f MB, which nobody heard" % (
	d["eligible"], d["whole"], d["coverage"] * 100, truth["shadow"]["requests"], d["response_bytes"] / 1e6)' "$shadow" truth="$truth")"
claim "no request to production failed" 'd["failed"] == 0 and d["requests"] == 2500' "$production"
claim "the shadow's server logged every connection's requests in order, with the digests that the clients sent" \
	'd["shadow"]["same"] >= 0.999 * d["connections"] and d["shadow"]["wrong"] == 0' "$truth"
claim "what the data path says of it is so" 'd["eligible"] == 500 and d["whole"] == truth["shadow"]["same"]' "$shadow" truth="$truth"
claim "of $(lab_json 'd["frames"]' "$leaked") frames that the client got none was a shadow's" 'd["leaked"] == 0 and d["frames"] > 2500' \
	"$leaked"

say "What the data path measured, as Prometheus scrapes it: $LAB_BUILD/metrics.prom."
lab_exec splitter curl -sS -o "$LAB_BUILD/metrics.prom" http://127.0.0.1:9850/metrics
lab_headgate services web | sed -n '/^VARIANT/,/^$/p' | sed 's/^/   | /'
tell "$(grep -c '^headgate_' "$LAB_BUILD/metrics.prom") series"

# Watches a rollout from its start to its end: each step is told as it is reached.
follow() # SERVICE
{
	local told='' now
	until now=$(lab_json '"%s, step %d of %d" % (d["rollout"]["state"], min(d["rollout"]["step"] + 1, len(d["rollout"]["steps"])),
		len(d["rollout"]["steps"]))' "$(rollout_report "$1")"); [[ $now =~ ^(Succeeded|Failed|Aborted) ]]; do
		[ "$now" = "$told" ] || tell "$now"
		told=$now
		[ $SECONDS -lt $((begun + 20)) ] || break
		sleep 0.05
	done
	tell "$(lab_json 'd["rollout"]["state"] + ": " + d["rollout"]["cause"]' "$(rollout_report "$1")")"
}

say "Rollout: headgate rollout start wiki, of a canary that answers 20 % of its requests with an error; 400 new connections a second."
rollout_set canary1 "errors=0.2" >"$LAB/set"
rollout_load_start wiki wiki@400
begun=$SECONDS
lab_headgate rollout start wiki | sed 's/^/   | /'
follow wiki
bad_state=$(lab_json 'd["rollout"]["state"]' "$(rollout_report wiki)")
sleep 0.3
bad=$(rollout_history wiki | "$rollout_client" outcome --log "$LAB/wiki.connections" --service wiki)
bad_served=$(rollout_server_says canary1 8100)
tell "$(lab_json '"%d connections reached it, %d met an error; the last one began %s ms after the first error" % (
	d["to_candidate"], d["errors"], d["ms"])' "$bad")"
claim "the bad canary was rolled back by itself, and all traffic is on blue" \
	'd["state"] == "Failed" and d["last_share"] == 0 and set(d["after"]["variants"]) == {"blue"} and d["after"]["requests"] > 50' \
	"$(lab_json 'json.dumps(bad | {"state": d["rollout"]["state"], "last_share": d["rollout"]["share"]["slots"]})' \
		"$(rollout_report wiki)" bad="$bad")"
claim "its server counted as many connections as the clients" 'd["to_candidate"] == server["opened"]' "$bad" server="$bad_served"

say "Rollout: the canary has been mended; headgate rollout retry wiki."
rollout_set canary1 "errors=0" >"$LAB/set"
begun=$SECONDS
lab_headgate rollout retry wiki | sed 's/^/   | /'
follow wiki
sleep 0.3
good=$(rollout_history wiki | "$rollout_client" outcome --log "$LAB/wiki.connections" --service wiki)
good_state=$(lab_json 'd["rollout"]["state"]' "$(rollout_report wiki)")
rollout_load_stop wiki >"$LAB/wiki.end"
claim "the good one was promoted step by step, and has all traffic" \
	'd["path"][:2] == ["Progressing 0", "Progressing 1"] and d["path"][-1].startswith("Succeeded") and
		set(d["after"]["variants"]) == {"canary"} and d["after"]["requests"] > 50' "$good"
claim "no connection failed in either" 'd["failed"] == 0' "$(cat "$LAB/wiki.end")"

lab_json 'json.dumps({
	"requests": d["requests"], "failed": d["failed"],
	"split": {name: d["variants"].get(name, 0) for name in ("blue", "canary")}, "kernel_opened": kernel_opened,
	"kept": {"connections": kept["connections"], "broken": kept["broken"] + kept["moved"]},
	"switch": {"to": "green", "failed": load["failed"], "blue_after": after["variants"].get("blue", 0), "ms": command["ms"]},
	"daemon_killed": {"requests": orphaned["requests"], "failed": orphaned["failed"]},
	"restarted": {"adopted": status["adopted"], "failed": restarted["failed"]},
	"shadow": {"mirrored": shadow["eligible"], "complete": truth["shadow"]["same"], "leaked": leaked["leaked"],
		"production_failed": production["failed"]},
	"rollout": {"bad": {"verdict": {"Failed": "rolled back"}.get(bad_state, bad_state), "connections_to_bad": bad["to_candidate"], "ms": bad["ms"]},
		"good": {"verdict": {"Succeeded": "promoted"}.get(good_state, good_state)}}})' "$split" kernel_opened="$kernel_opened" \
	kept="$kept" load="$load" after="$after" command="$command" orphaned="$orphaned" status="$status" \
	restarted="$restarted" shadow="$shadow" truth="$truth" leaked="$leaked" production="$production" bad="$bad" \
	bad_state="\"$bad_state\"" good_state="\"$good_state\"" >"$LAB_BUILD/demo.json"

printf '\nMeasured: %s\n' "$(cat "$LAB_BUILD/demo.json")"
if [ $violated -ne 0 ]; then
	echo "The demo FAILED: a claim above does not hold."
	exit 1
fi
echo "Every claim holds."
