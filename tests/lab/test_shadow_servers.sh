#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Clients and servers that others wrote: curl and wrk; nginx and HAProxy as shadows, which hand what they got to a server
# that writes it down.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/shadow.sh
. "$(dirname "$0")/shadow.sh"

nginx_shadow()
{
	mkdir -p "$LAB/shadow/temp"
	cat >"$LAB/shadow/nginx.conf" <<-END
		daemon off;
		master_process off;
		user root;
		pid $LAB/shadow/nginx.pid;
		error_log $LAB/shadow/error.log;
		events { worker_connections 8192; }
		http {
			access_log off;
			client_body_temp_path $LAB/shadow/temp;
			proxy_temp_path $LAB/shadow/temp;
			fastcgi_temp_path $LAB/shadow/temp;
			uwsgi_temp_path $LAB/shadow/temp;
			scgi_temp_path $LAB/shadow/temp;
			keepalive_requests 1000000;
			upstream behind { server 127.0.0.1:9000; keepalive 64; }
			server {
				listen 8000 backlog=4096;
				listen [::]:8000 backlog=4096;
				location / {
					proxy_pass http://behind;
					proxy_http_version 1.1;
					proxy_set_header Connection "";
					proxy_set_header X-Via \$remote_addr:\$remote_port;
				}
			}
		}
	END
	lab_start shadow shadow-server nginx -e "$LAB/shadow/error.log" -p "$LAB/shadow" -c "$LAB/shadow/nginx.conf"
	lab_wait "nginx" shadow_listens shadow 8000
}

haproxy_shadow()
{
	cat >"$LAB/haproxy.cfg" <<-END
		global
			maxconn 5000
		defaults
			mode http
			timeout connect 5s
			timeout client 30s
			timeout server 30s
		frontend all
			bind :::8000 v4v6
			http-request set-header X-Via %[src]:%[src_port]
			default_backend behind
		backend behind
			server behind 127.0.0.1:9000
	END
	lab_start shadow shadow-server haproxy -db -f "$LAB/haproxy.cfg"
	lab_wait "HAProxy" shadow_listens shadow 8000
}

# What was handed to the server behind the shadow is what clients sent.
arrives_behind() # RUN
{
	lab_assert 'd["production"]["same"] == d["connections"] and d["shadow"]["same"] >= d["connections"] * 0.999 and
		d["shadow"]["wrong"] == 0' "$(shadow_compare "$1" "$LAB/behind.truth")"
}

clients_of_all() # NAME
{
	local service
	for service in $SHADOW_SERVICES; do
		shadow_remember "$service"
		lab_assert 'd["failed"] == 0' "$(shadow_clients "$service" "$1-$service" --connections 300)"
		lab_assert 'd["failed"] == 0' "$(shadow_clients "$service" "$1-pipeline-$service" --connections 100 --pipeline 5 --body 10000)"
		lab_assert 'd["coverage"] >= 0.999 and d["eligible"] == 400 and d["status"]["2xx"] == d["responses"]' "$(shadow_settled "$service")"
		lab_wait "what is behind" arrives_behind "$1-$service"
		lab_wait "what is behind" arrives_behind "$1-pipeline-$service"
	done
}

test_nginx_as_a_shadow()
{
	lab_stop shadow-server KILL
	nginx_shadow
	clients_of_all nginx
}

test_haproxy_as_a_shadow()
{
	lab_stop shadow-server KILL
	haproxy_shadow
	clients_of_all haproxy
}

curl_once() # SERVICE NUMBER
{
	local url=http://${SHADOW_VIP[$1]}:8000 k options=()
	[ "$1" = web4 ] || url=http://[${SHADOW_VIP[$1]}]:8000
	# One connection; the second request asks first whether it may send its body.
	for k in 1 2 3; do
		options+=(-sSf -m 20 -o "$LAB/got" -H "X-Run: curl-$1" -H "X-Id: $2.$k" --data-binary "@$LAB/files/$k" "$url/$((k * 1000))")
		[ "$k" -ne 2 ] || options+=(-H "Expect: 100-continue")
		options+=(--next)
	done
	lab_exec client curl "${options[@]::${#options[@]}-1}"
}

test_curl()
{
	local service number
	shadow_serve --factor 3
	for service in $SHADOW_SERVICES; do
		shadow_remember "$service"
		for number in $(seq 20); do
			curl_once "$service" "$number"
		done
		lab_assert 'd["coverage"] == 1 and d["eligible"] == 20 and d["requests"] >= 60' "$(shadow_settled "$service")"
		lab_wait "the shadow's log" agree "curl-$service"
	done
}

agree() # RUN
{
	lab_assert 'd["same"] == d["connections"] >= 10 and d["wrong"] == d["absent"] == 0 and d["requests"] >= 30 and
		d["shadow_requests"] >= 0.9 * d["requests"]' \
		"$("$LAB_SOURCE/shadow_judge.py" agree --run "$1" --production "$LAB/production.truth" --shadow "$LAB/shadow.truth")"
}

test_wrk()
{
	local service url
	shadow_serve --factor 1
	for service in $SHADOW_SERVICES; do
		cat >"$LAB/wrk.lua" <<-END
			local number = 0
			local body = string.rep("0123456789", 1000)
			delay = function()
				return 10 -- ms: the shadow keeps pace
			end
			request = function()
				number = number + 1
				return wrk.format("POST", "/500", {["X-Run"] = "wrk-$service", ["X-Id"] = "0." .. number},
					body:sub(1, number % 5 * 2000) .. number)
			end
			done = function(summary, latency, requests)
				local e = summary.errors
				print("errors " .. e.connect + e.read + e.write + e.status + e.timeout)
			end
		END
		shadow_remember "$service"
		url=http://${SHADOW_VIP[$service]}:8000
		[ "$service" = web4 ] || url=http://[${SHADOW_VIP[$service]}]:8000
		lab_exec client wrk -t 1 -c 20 -d 2s -s "$LAB/wrk.lua" "$url" >"$LAB/wrk"
		grep -qx 'errors 0' "$LAB/wrk" || lab_fail "wrk:" "$(cat "$LAB/wrk")"
		lab_assert 'd["coverage"] == 1 and d["eligible"] >= 20 and d["requests"] > 500' "$(shadow_settled "$service")"
		lab_wait "the shadow's log" agree "wrk-$service"
	done
}

test_no_client_heard_of_a_shadow()
{
	lab_assert 'd["leaked"] == 0 and d["signed"] > 1000' "$(watch_end client)"
	lab_wait "no connection at the shadow" shadow_has_no_connection
}

lab_begin
shadow_hosts nat
lab_start shadow behind "$LAB_SOURCE/shadow_server.py" http --port 9000 --mark $SHADOW_MARK --log "$LAB/behind.truth"
lab_wait "what is behind" shadow_listens shadow 9000
shadow_serve --factor 1
shadow_configuration nat "sample: 100" "pause: off" >"$LAB/headgate.yaml"
shadow_splitter
watch_begin client
for size in 1/5000 2/60000 3/1000; do head -c "${size#*/}" /dev/urandom >"$LAB/files/${size%/*}"; done
lab_run_tests "shadow servers"
