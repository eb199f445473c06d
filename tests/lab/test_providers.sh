#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A rollout's metrics from a real Prometheus, as long as it is there, and over TLS.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

prometheus=http://127.0.0.1:9090

# What is said of the variants canary and blue.
ask() # QUERY [TIMEOUT-MS]
{
	lab_exec splitter "$LAB_BUILD/tests/unit/inquire" prometheus $prometheus "$1" "${2:-5000}" canary blue
}

says() # EXPRESSION-OF-d QUERY [TIMEOUT-MS]
{
	lab_assert "$1" "$(ask "${@:2}")"
}

is_no_data='d[0]["trouble"] == d[1]["trouble"] == "no_data"'
is_error='d[0]["trouble"] == d[1]["trouble"] == "error"'

has_scraped()
{
	says '[r["value"] for r in d] == [0.25, 0.125]' 'ttft_seconds{variant="{{variant}}"}'
}

start_prometheus()
{
	lab_start splitter prometheus prometheus --config.file="$LAB/prometheus.yml" --log.level=warn \
		--storage.tsdb.path="$LAB/prometheus" --web.listen-address=127.0.0.1:9090
	lab_wait "a scrape" has_scraped
}

# Of each variant something else; and nothing of requests, so that an error rate is 0 / 0.
page()
{
	cat <<-'END'
		ttft_seconds{variant="canary",service="web"} 0.25
		ttft_seconds{variant="blue",service="web"} 0.125
		requests_total{variant="canary"} 0
		requests_total{variant="blue"} 0
	END
}

test_a_value_is_what_was_scraped_of_each_variant()
{
	says '[r["value"] for r in d] == [0.25, 0.125]' 'ttft_seconds{variant="{{variant}}",service="{{service}}"}'
	says '[r["value"] for r in d] == [250, 125] and not d[0]["trouble"] and not d[0]["why"]' \
		'max by (variant) (ttft_seconds{variant=~"{{variant}}|nobody"}) * 1e3 # 100 % & more'
	says 'd[0]["value"] == 2 and d[0]["trouble"] == "" and d[1]["trouble"] == "no_data"' 'scalar(count(ttft_seconds))'
}

test_an_empty_result_nan_and_infinity_are_no_data()
{
	says "$is_no_data and d[0]['why'] == 'the query has no result'" 'ttft_seconds{variant="{{variant}}",service="other"}'
	says "$is_no_data and d[0]['why'] == 'its value is NaN'" \
		'requests_total{variant="{{variant}}"} / requests_total{variant="{{variant}}"}'
	says "$is_no_data and d[0]['why'] == 'its value is infinite'" \
		'ttft_seconds{variant="{{variant}}"} / on (variant) requests_total'
}

test_what_is_no_single_value_is_an_error()
{
	says "$is_error and '2 results' in d[0]['why']" 'ttft_seconds{variant!="{{variant}}x"}'
	says "$is_error and 'matrix' in d[0]['why']" 'ttft_seconds{variant="{{variant}}"}[1m]'
	says "$is_error and 'string' in d[0]['why']" '"{{variant}}"'
}

test_an_error_is_shown_in_prometheus_words()
{
	says "$is_error and 'status 400: ' in d[0]['why'] and 'parse error' in d[0]['why']" 'sum(ttft_seconds{variant="{{variant}}"}'
	says "$is_error and d[0]['why'].startswith('status 422: found duplicate series')" \
		'{__name__=~"ttft_seconds|requests_total",variant="{{variant}}"} + on (job) group_left ttft_seconds'
}

test_one_that_never_answers_is_given_up_while_the_loop_goes_on()
{
	lab_signal STOP prometheus
	says "$is_error and d[0]['why'] == 'no answer in 500 ms' and d[0]['ticks'] >= 25" 'ttft_seconds{variant="{{variant}}"}' 500
	lab_signal CONT prometheus
	lab_wait "an answer" has_scraped
}

test_one_that_is_gone_refuses_and_one_that_is_back_answers()
{
	lab_stop prometheus KILL
	says "$is_error and d[0]['why'] == 'connection refused'" 'ttft_seconds{variant="{{variant}}"}'
	start_prometheus
}

# With these authorities instead of the host's.
ask_trusting() # CERTIFICATE|- URL
{
	# shellcheck disable=SC2016 # the inner shell's
	lab_exec splitter unshare --mount sh -ec '
		mount -t tmpfs none /etc/ssl/certs
		if [ "$1" = - ]; then set -- /dev/null "$2" "$3"; fi
		cp "$1" /etc/ssl/certs/ca-certificates.crt
		exec "$3" webhook "$2" "" 5000 canary' - "$1" "$2" "$LAB_BUILD/tests/unit/inquire"
}

test_a_certificate_is_verified()
{
	mkdir "$LAB/tls"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$LAB/tls/key.pem" \
		-out "$LAB/tls/certificate.pem" -subj /CN=webhook -addext subjectAltName=IP:127.0.0.1 2>/dev/null
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$LAB/tls/other-key.pem" \
		-out "$LAB/tls/other.pem" -subj /CN=other 2>/dev/null
	printf 'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"value": 42}' >"$LAB/tls/answer"
	# shellcheck disable=SC2016 # the inner shell's
	lab_start splitter tls sh -c 'cd "$1" && exec openssl s_server -HTTP -accept 8443 -key key.pem -cert certificate.pem' - \
		"$LAB/tls"
	lab_wait "a trusted answer" trusted_says 'd[0]["value"] == 42' "$LAB/tls/certificate.pem" https://127.0.0.1:8443/answer
	trusted_says 'd[0]["trouble"] == "error" and "certificate" in d[0]["why"]' "$LAB/tls/other.pem" https://127.0.0.1:8443/answer
	trusted_says 'd[0]["trouble"] == "error" and "certificate" in d[0]["why"]' - https://127.0.0.1:8443/answer
	trusted_says 'd[0]["trouble"] == "error" and "name" in d[0]["why"]' "$LAB/tls/certificate.pem" https://127.0.0.2:8443/answer
}

trusted_says() # EXPRESSION CERTIFICATE URL
{
	lab_assert "$1" "$(ask_trusting "$2" "$3")"
}

lab_begin
mkdir "$LAB/page"
page >"$LAB/page/metrics"
cat >"$LAB/prometheus.yml" <<-END
	global: {scrape_interval: 500ms, scrape_timeout: 400ms}
	scrape_configs: [{job_name: page, static_configs: [{targets: ["127.0.0.1:8000"]}]}]
END
lab_start splitter page /usr/bin/python3 -m http.server --bind 127.0.0.1 --directory "$LAB/page" 8000
start_prometheus
lab_run_tests providers
