#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A real Prometheus reads the metrics, and says what clients and servers know to be true.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

truth=$LAB_SOURCE/truth.py
page=http://127.0.0.1:9850/metrics

service() # NAME FORWARD PORT
{
	cat <<-END
		  $1:
		    address: 10.0.0.10
		    port: $3
		    forward: $2
		    $([ "$2" = nat ] || echo "measure: all")
		    health: {check: tcp, interval: 200ms, timeout: 200ms}
		    variants:
		      blue:   {weight: 1, backends: ["10.20.0.11:$3"]}
		      canary: {weight: 0, backends: ["10.20.0.15:$3"]}
		    cohorts: [{source: 10.10.9.0/24, variant: canary}]
	END
}

configuration()
{
	lab_interfaces front back
	printf 'metrics: {listen: 127.0.0.1:9850}\nservices:\n'
	service web nat 8000
	service direct dnat 8001
}

prometheus_configuration()
{
	cat <<-END
		global: {scrape_interval: 500ms, scrape_timeout: 400ms}
		scrape_configs:
		  - job_name: headgate
		    static_configs: [{targets: ["127.0.0.1:9850"]}]
	END
}

# The value of a query's only series.
query() # PROMQL
{
	local answer
	answer=$(lab_exec splitter curl -sS -G --data-urlencode "query=$1" http://127.0.0.1:9090/api/v1/query)
	lab_json 'd["data"]["result"][0]["value"][1] if len(d["data"]["result"]) == 1 else 1 / 0' "$answer" ||
		lab_fail "$answer"
}

query_is() # PROMQL EXPRESSION-OF-d
{
	lab_assert "$2" "$(query "$1")"
}

# Three of ten of the canary's answers are errors; blue has none.
connections() # PORT SOURCE PATHS
{
	lab_exec client "$truth" clients --url-host 10.0.0.10 --port "$1" --source "$2" --connections 20 --requests 10 \
		--paths "$3" --log "$LAB/clients"
}

ok=/,/status/201
three_of_ten=/,/,/status/503,/,/,/status/500,/,/status/404,/,/status/503

test_a_scrape_is_as_promtool_wants_it()
{
	local output
	lab_exec splitter curl -sSf -D "$LAB/headers" -o "$LAB/page" $page
	grep -qi '^content-type: text/plain; version=0.0.4' "$LAB/headers"
	output=$(promtool check metrics <"$LAB/page" 2>&1) || lab_fail "promtool:" "$output"
	[ -z "$output" ] || lab_fail "promtool:" "$output"
}

test_nothing_else_is_served_and_nobody_else_is_let_in()
{
	[ "$(lab_exec splitter curl -s -o "$LAB/answer" -w '%{http_code}' http://127.0.0.1:9850/v1/services)" = 404 ]
	[ "$(lab_exec splitter curl -s -o "$LAB/answer" -w '%{http_code}' -X PUT $page)" = 405 ]
	! lab_exec client curl -s -m 1 -o "$LAB/answer" http://10.10.0.1:9850/metrics || lab_fail "reached from outside"
}

test_prometheus_says_the_error_rates_that_there_are()
{
	local port
	lab_start splitter prometheus prometheus --config.file="$LAB/prometheus.yml" --log.level=warn \
		--storage.tsdb.path="$LAB/prometheus" --web.listen-address=127.0.0.1:9090
	lab_wait "Prometheus' first scrapes" query_is 'count_over_time(up{job="headgate"}[1m])' 'd >= 2'
	for port in 8000 8001; do
		lab_assert 'd == {"closed": 20}' "$(connections $port 10.10.9.2 $three_of_ten)"
		lab_assert 'd == {"closed": 20}' "$(connections $port 10.10.0.2 $ok)"
	done
	lab_wait "all responses" query_is 'sum(headgate_variant_responses_total)' 'd == 4 * 200'
	for service in web direct; do
		query_is "sum(rate(headgate_variant_responses_total{service=\"$service\",variant=\"canary\",class=\"5xx\"}[1m])) /
			sum(rate(headgate_variant_responses_total{service=\"$service\",variant=\"canary\"}[1m]))" 'abs(d - 0.3) < 0.001'
		query_is "sum(rate(headgate_variant_responses_total{service=\"$service\",variant=\"blue\",class=\"5xx\"}[1m]))" 'd == 0'
	done
}

test_prometheus_says_what_happened_to_connections()
{
	query_is 'sum(headgate_variant_connections_opened_total{variant="canary",service="web"})' 'd == 20'
	lab_wait "the last FINs" query_is 'sum(headgate_variant_connections_closed_total)' 'd == 80'
	query_is 'sum(headgate_variant_connections_reset_total)' 'd == 0'
	query_is 'sum(headgate_variant_first_byte_seconds_count{service="direct",variant="blue"})' 'd == 200'
	query_is 'histogram_quantile(0.95, sum by (le) (headgate_variant_first_byte_seconds_bucket{variant="canary"}))' \
		'0 < d < 1'
	query_is 'sum(headgate_backend_connections_opened_total) - sum(headgate_variant_connections_opened_total)' 'd == 0'
	query_is 'sum(headgate_variant_connections_active)' 'd >= 0'
	query_is 'min(headgate_backend_up)' 'd == 1'
	query_is 'count(headgate_backend_up)' 'd == 4'
	query_is 'headgate_variant_share{service="web",variant="blue"}' 'd == 1'
}

test_counters_go_on_over_a_restart_of_the_daemon()
{
	lab_stop headgated
	lab_splitter "$LAB/headgate.yaml"
	lab_wait "a scrape of the new daemon" query_is 'headgate_info{adopted="true"}' 'd == 1'
	query_is 'sum(headgate_variant_responses_total)' 'd == 4 * 200'
	query_is 'sum(resets(headgate_variant_responses_total[1m]))' 'd == 0'
}

lab_begin
lab_host client front 10.10.0.2 fd00:10::2
lab_address client 10.10.9.2
for host in blue1:11 canary1:15; do
	lab_host ${host%:*} back 10.20.0.${host#*:} fd00:20::${host#*:}
	lab_default_route ${host%:*}
	lab_start ${host%:*} "truth-${host%:*}" "$truth" server --port 8000 8001 --name "${host%1:*} ${host%:*}" \
		--log "$LAB/${host%:*}.truth"
done
configuration >"$LAB/headgate.yaml"
prometheus_configuration >"$LAB/prometheus.yml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests prometheus
