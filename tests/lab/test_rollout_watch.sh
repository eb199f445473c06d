#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What `headgate rollout watch` and `status` show, of reports that are written here, at a real pseudo terminal.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

reports() # KEY=JSON...
{
	"$LAB_SOURCE/rollout_reports.py" make "$LAB" "$@"
}

serve()
{
	lab_start splitter reports "$LAB_SOURCE/rollout_reports.py" serve "$LAB/api.sock" "$LAB"
	lab_wait "the reports" curl -sf --unix-socket "$LAB/api.sock" http://headgate/v1/rollouts >/dev/null
}

# A person who watches: the script is on stdin.
person() # [COLUMNSxROWS [LOCALE [TERM]]]
{
	LC_ALL=${2:-C.UTF-8} TERM=${3:-xterm-256color} "$LAB_SOURCE/terminal.py" --size "${1:-100x32}" \
		"$LAB_BUILD/headgate" --socket "$LAB/api.sock" rollout watch web
}

make_report()
{
	echo "sh $LAB_SOURCE/rollout_reports.py make $LAB $*"
}

test_the_picture_has_the_ladder_the_shares_and_the_metrics()
{
	reports
	person <<-END
		top ^web: rollout 7, canary, blue -> canary
		see ^Progressing, step 2 of 5
		see ^✓  1  shadow 20 % for 10m
		see ^▶  2  weight 5 %
		see ^·  3  pause for 10m
		see ^·  5  weight 50 %
		see asked +5.0 %  ██░
		see opened +4.9 %
		see active +-
		see analysis 12: pass +failed checks 0 of 2
		see next +20s  █+░+
		see ^error-rate +pass +1.00 % ├─+●─+┤ +1.20 % +├─*●─*┤
		see ^first-byte-p95 +inconclusive, dry +125ms ├─+●─+ +120ms
		see 1.00 % of 200 beside 1.20 % of 3800
		see waits for an analysis that passes
		see rollout 7: Progressing, step 2 of 5 .weight 5 %., canary 5 %: its time was over
		bottom q leave
		key q
		end 1
		restored
	END
}

test_what_changes_is_drawn_and_logged()
{
	reports
	person <<-END
		see analysis 12: pass
		$(make_report analysis.made=13)
		see analysis 13: pass +failed checks
		see rollout 7: analysis 13: pass
		$(make_report step=2 cause="'\"the analysis passed\"'" analysis.made=13 share.asked=25.0 share.slots=25.0)
		see ^✓  2  weight 5 %
		see ^▶  3  pause
		see asked +25.0 %
		see step 3 of 5 .pause for 10m., canary 25 %: the analysis passed
		$(make_report step=2 analysis.made=14 analysis.last="'\"fail\"'" analysis.metrics.0.verdict="'\"fail\"'" analysis.metrics.0.proven=true analysis.metrics.0.why="'\"9 % beside 1 %\"'")
		see analysis 14: fail; error-rate: 9 % beside 1 %
		see ^error-rate +fail, proven
		key q
		end 1
	END
}

test_it_follows_the_size_of_the_terminal()
{
	reports
	person 100x32 <<-END
		bottom q leave
		resize 80x24
		top ^web: rollout 7
		bottom q leave
		see ^error-rate +pass +1.00 % ├
		see rollout 7: Progressing
		resize 140x50
		top ^web: rollout 7
		bottom q leave
		see 12 of 100 samples
		resize 20x5
		top ^web: rollout 7
		bottom q leave
		resize 100x32
		top ^web: rollout 7
		see rollout 7: Progressing
		bottom q leave
		key q
		end 1
		restored
	END
}

test_a_locale_without_utf_8_gets_ascii()
{
	reports
	person 100x32 C linux <<-END
		see ^x  1  shadow 20 % for 10m
		see ^>  2  weight 5 %
		see ^error-rate +pass +1.00 % [|]-+o-+[|]
		see asked +5.0 %  ##---
		key q
		end 1
	END
}

test_the_end_is_said_and_a_key_leaves()
{
	reports
	person <<-END
		bottom q leave
		$(make_report state="'\"Succeeded\"'" step=5)
		bottom the rollout is over: Succeeded; press a key
		key z
		end 0
		restored
	END
	reports
	person <<-END
		bottom q leave
		$(make_report state="'\"Failed\"'" step=1 cause="'\"error-rate failed\"'")
		bottom the rollout is over: Failed; press a key
		see ^✗  2  weight 5 %
		key z
		end 1
		restored
	END
}

asked()
{
	cat "$LAB/asked" 2>/dev/null || true
	rm -f "$LAB/asked"
}

test_keys_approve_pause_resume_and_roll_back_after_a_question()
{
	reports
	asked >/dev/null
	person <<-END
		bottom p pause
		key p
		bottom pause: done
		$(make_report state="'\"Paused\"'")
		see ^Paused, step 2
		key p
		bottom resume: done
		$(make_report state="'\"WaitingApproval\"'" step=3)
		see ^WaitingApproval, step 4
		key a
		bottom approve: done
		key x
		bottom go back to the weights before this rollout[?] y or n
		key n
		bottom a approve +x roll back
		key x
		bottom y or n
		key y
		bottom rollback: done
		key q
		end 1
	END
	[ "$(asked | tr -d ' "{}\n')" = action:pauseaction:resumeaction:approveaction:rollback ] || lab_fail "asked for something else"
}

test_a_refusal_is_shown()
{
	reports
	echo '{"error": "web waits for nobody"}' >"$LAB/refusal.json"
	person <<-END
		bottom p pause
		key a
		bottom refused: web waits for nobody
		key q
		end 1
	END
	rm "$LAB/refusal.json"
	asked >/dev/null
}

test_signals_leave_the_terminal_as_it_was()
{
	local signal
	reports
	for signal in TERM:15 INT:2 HUP:1 QUIT:3; do
		person <<-END
			bottom q leave
			kill ${signal%:*}
			end -${signal#*:}
			restored
		END
	done
}

test_headgated_may_go_and_come_back()
{
	reports
	person <<-END
		bottom q leave
		sh kill $(lab_pid reports)
		see headgated has not answered for
		see headgated does not answer
		sh $LAB_SOURCE/rollout_reports.py serve $LAB/api.sock $LAB >$LAB/again.log 2>&1 & echo \$! >$LAB/again.pid
		gone has not answered
		see headgated answers again
		key q
		end 1
		sh kill \$(cat $LAB/again.pid)
	END
	serve
}

test_lines_end_with_the_rollout()
{
	local code=0
	reports
	(
		sleep 0.4
		reports analysis.made=13
		sleep 0.4
		reports state='"RollingBack"' analysis.made=13 step=2 cause='"error-rate failed"'
		sleep 0.4
		reports state='"Failed"' analysis.made=13 step=2 cause='"all is as it was"'
	) &
	lab_headgate rollout watch web >"$LAB/lines" || code=$?
	[ $code = 1 ] || lab_fail "exit status $code"
	[ "$(sed 's/^[-0-9T:]*Z //' "$LAB/lines")" = "web: rollout 7: Progressing, step 2 of 5 (weight 5 %), canary 5 %: its time was over
web: rollout 7: analysis 13: pass
web: rollout 7: RollingBack, step 3 of 5 (pause for 10m), canary 5 %: error-rate failed
web: rollout 7: Failed, step 3 of 5 (pause for 10m), canary 5 %: all is as it was" ] || lab_fail "other lines" "$(cat "$LAB/lines")"
}

test_json_lines_are_reports()
{
	reports
	(
		sleep 0.4
		reports state='"Succeeded"' step=5
	) &
	lab_headgate rollout watch web -o json >"$LAB/lines"
	[ "$(wc -l <"$LAB/lines")" = 2 ] || lab_fail "not a line each" "$(cat "$LAB/lines")"
	lab_assert 'd["service"] == "web" and d["rollout"]["state"] == "Progressing"' "$(head -n 1 "$LAB/lines")"
	lab_assert 'd["rollout"]["state"] == "Succeeded"' "$(tail -n 1 "$LAB/lines")"
}

test_a_timeout_ends_it()
{
	local code=0
	reports
	lab_headgate rollout watch web --timeout 1s >"$LAB/lines" 2>"$LAB/said" || code=$?
	[ $code = 1 ] || lab_fail "exit status $code"
	grep -q 'not over after 1 s' "$LAB/said" || lab_fail "it does not say so" "$(cat "$LAB/said")"
}

test_lines_go_on_when_headgated_comes_back()
{
	reports
	(
		sleep 0.4
		lab_stop reports
		sleep 0.4
		serve
		reports state='"Succeeded"' step=5
	) &
	lab_headgate rollout watch web >"$LAB/lines" 2>"$LAB/said"
	grep -q 'waiting for it' "$LAB/said" || lab_fail "it does not say that nothing answers" "$(cat "$LAB/said")"
	grep -q 'headgated answers again' "$LAB/said"
	tail -n 1 "$LAB/lines" | grep -q Succeeded
}

doctor_says() # EXPRESSION
{
	lab_assert "(lambda d: $1)([c for c in d['checks'] if c['name'] == 'rollout'])" \
		"$(lab_headgate doctor -o json --config "$LAB/none.yaml" || true)"
}

# Everything else that the doctor looks at is in its own tests.
test_doctor_warns_of_what_waits_for_a_person()
{
	reports
	doctor_says '[c["result"] for c in d] == ["ok"]'
	reports state='"WaitingApproval"' step=3
	doctor_says '[c["result"] for c in d] == ["warn"] and "headgate rollout approve web" in d[0]["mend"]'
	reports state='"Paused"'
	doctor_says '[c["result"] for c in d] == ["warn"] and "headgate rollout resume web" in d[0]["mend"]'
	reports state='"Failed"'
	doctor_says '[c["result"] for c in d] == ["warn"] and "headgate switch web blue --rollback" in d[0]["mend"]'
	reports state='"Failed"' share.asked=0
	doctor_says 'd == []'
	reports analysis.last='"error"' analysis.metrics.0.verdict='"error"' analysis.metrics.0.why='"http://x: timeout"'
	doctor_says '[c["result"] for c in d] == ["ok", "warn"] and "http://x: timeout" in d[1]["what"]'
}

test_an_ab_test_has_its_arms()
{
	reports strategy='"ab_test"' candidate=null stable=null share.asked=50.0 result='{"winner": "green", "metrics":
		[{"name": "error-rate", "arms": [
		{"variant": "blue", "value": 0.012, "low": 0.01, "high": 0.014, "difference": null, "difference_low": null,
		 "difference_high": null, "verdict": "none"},
		{"variant": "green", "value": 0.006, "low": 0.004, "high": 0.008, "difference": -0.5, "difference_low": -0.7,
		 "difference_high": -0.3, "verdict": "pass"}]}]}'
	lab_headgate rollout status web >"$LAB/said"
	grep -qE '^web: rollout 7, ab_test, blue [|] green:' "$LAB/said" || lab_fail "other roles" "$(cat "$LAB/said")"
	grep -qE '^error-rate +blue +1.20 % +1.00 %..1.40 % +- +- +control' "$LAB/said" || lab_fail "no control" "$(cat "$LAB/said")"
	grep -qE '^error-rate +green +0.60 % +0.40 %..0.80 % +-50.00 % +-70.00 %..-30.00 % +better' "$LAB/said" || lab_fail "no arm" "$(cat "$LAB/said")"
	grep -qx 'winner: green' "$LAB/said"
	person <<-END
		top ^web: rollout 7, ab_test, blue [|] green
		see ^blue error-rate +control +1.20 % +.*●
		see ^green error-rate +better +0.60 % ├─*●─*┤ +-50.00 %
		key q
		end 1
	END
}

lab_begin
reports
serve
lab_run_tests rollout-watch
