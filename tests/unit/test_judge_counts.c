// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Likelihood ratios, evidence and bounds, beside sums written out in full: each table of an interval enumerated, each
 * binomial coefficient by Pascal's triangle.
 */
#include <string.h>

#include "judge_fixture.h"

#define TRIALS 14
#define CLOSE 1e-9

/* What user/judge_counts.c mixes over. */
static const double alternatives[JUDGE_RATIOS] = {1.25, 1.5, 2, 3, 4.5, 8, 16, 50};

static double choose(int n, int k)
{
	double row[TRIALS + 1] = {1};

	for (int i = 1; i <= n; i++) {
		for (int j = i; j > 0; j--)
			row[j] += row[j - 1];
	}
	return row[k];
}

/* Chance of @got events of the candidate, given the margins. */
static double chance(int candidate, int stable, int events, int got, double odds)
{
	double sum = 0;

	for (int x = 0; x <= candidate && x <= events; x++) {
		if (events - x <= stable)
			sum += choose(candidate, x) * choose(stable, events - x) * pow(odds, x);
	}
	return choose(candidate, got) * choose(stable, events - got) * pow(odds, got) / sum;
}

/* Calls @each for every table with up to TRIALS trials a side that can differ, its margins kept. */
static void each_table(void (*each)(int candidate, int stable, int events, int low, int high))
{
	static const int sizes[] = {1, 2, 5, 9, TRIALS};

	for (size_t a = 0; a < 5; a++) {
		for (size_t b = 0; b < 5; b++) {
			for (int events = 0; events <= sizes[a] + sizes[b]; events++) {
				int low = events > sizes[b] ? events - sizes[b] : 0;
				int high = events < sizes[a] ? events : sizes[a];

				each(sizes[a], sizes[b], events, low, high);
			}
		}
	}
}

static struct fourfold fourfold(int candidate, int stable, int events, int got)
{
	return (struct fourfold){got, candidate, events - got, stable};
}

static void ratios_are_right(int candidate, int stable, int events, int low, int high)
{
	double log_ratios[JUDGE_RATIOS];

	for (int got = low; got <= high; got++) {
		struct fourfold f = fourfold(candidate, stable, events, got);

		assert_int_equal(counts_compared(&f, 1.25, 1, log_ratios), low < high);
		for (size_t i = 0; i < JUDGE_RATIOS && low < high; i++)
			assert_close(log_ratios[i],
				     log(chance(candidate, stable, events, got, 1.25 * alternatives[i]) /
					 chance(candidate, stable, events, got, 1.25)),
				     CLOSE);
	}
}

static void a_likelihood_ratio_is_the_one_of_all_tables_with_the_same_margins(void **state)
{
	(void)state;
	each_table(ratios_are_right);
}

static double expectation(int candidate, int stable, int events, double odds, double tolerance, size_t alternative)
{
	int low = events > stable ? events - stable : 0, high = events < candidate ? events : candidate;
	double sum = 0, log_ratios[JUDGE_RATIOS];

	for (int got = low; got <= high; got++) {
		struct fourfold f = fourfold(candidate, stable, events, got);

		assert_true(counts_compared(&f, tolerance, 1, log_ratios));
		sum += chance(candidate, stable, events, got, odds) * exp(log_ratios[alternative]);
	}
	return sum;
}

static void expectations_are_fair(int candidate, int stable, int events, int low, int high)
{
	for (size_t i = 0; i < JUDGE_RATIOS && low < high; i++) {
		assert_close(expectation(candidate, stable, events, 1.25, 1.25, i), 1, CLOSE);
		assert_true(expectation(candidate, stable, events, 1, 1.25, i) < 1);
		assert_true(expectation(candidate, stable, events, 0.3, 1.25, i) < 1);
		assert_true(expectation(candidate, stable, events, 2, 1.25, i) > 1);
	}
}

static void its_expectation_is_1_at_what_is_tolerated_and_less_below(void **state)
{
	(void)state;
	each_table(expectations_are_fair);
}

/* The sum over the whole support, with long doubles. */
static double log_sum(double candidate, double stable, double events, double odds)
{
	long double sum = 0, largest = -INFINITY, term;

	for (int pass = 0; pass < 2; pass++) {
		for (double x = fmax(0, events - stable); x <= fmin(candidate, events); x++) {
			term = x * logl(odds) - lgammal(x + 1) - lgammal(candidate - x + 1) - lgammal(events - x + 1) -
			       lgammal(stable - events + x + 1);
			if (pass)
				sum += expl(term - largest);
			else
				largest = fmaxl(largest, term);
		}
	}
	return largest + logl(sum);
}

static void cutting_off_the_tails_changes_nothing(void **state)
{
	static const struct fourfold tables[] = {
		{50, 1000, 190, 19000},  {2, 100000, 3, 100}, {700, 1000, 12000, 19000},   {0, 12000, 5000, 30000},
		{5000, 12000, 0, 30000}, {1, 40000, 0, 1},    {4000, 40000, 4000, 960000},
	};
	double log_ratios[JUDGE_RATIOS];

	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		const struct fourfold *f = &tables[i];
		double events = f->candidate_events + f->stable_events;
		double tolerated = log_sum(f->candidate_trials, f->stable_trials, events, 2);

		assert_true(counts_compared(f, 2, 1, log_ratios));
		for (size_t k = 0; k < JUDGE_RATIOS; k += 3)
			assert_close(log_ratios[k],
				     f->candidate_events * log(alternatives[k]) + tolerated -
					     log_sum(f->candidate_trials, f->stable_trials, events,
						     2 * alternatives[k]),
				     1e-6);
	}
}

static void more_events_of_the_candidate_are_more_evidence(void **state)
{
	double before[JUDGE_RATIOS], log_ratios[JUDGE_RATIOS];

	(void)state;
	for (uint64_t got = 0; got <= 200; got++) {
		struct fourfold f = {got, 500, 200 - got, 9500};

		memcpy(before, log_ratios, sizeof(before));
		assert_true(counts_compared(&f, 1, 1, log_ratios));
		for (size_t i = 0; i < JUDGE_RATIOS && got; i++)
			assert_true(log_ratios[i] > before[i]);
	}
}

static void numbers_of_any_size_give_finite_ratios(void **state)
{
	static const uint64_t sizes[] = {0, 1, 100, 100000001, 1ULL << 40, UINT64_MAX};
	double log_ratios[JUDGE_RATIOS];

	(void)state;
	for (size_t i = 0; i < 6 * 6 * 6 * 6; i++) {
		struct fourfold f = {sizes[i % 6], sizes[i / 6 % 6], sizes[i / 36 % 6], sizes[i / 216]};

		if (!counts_compared(&f, 1.25, 1, log_ratios))
			continue;
		for (size_t k = 0; k < JUDGE_RATIOS; k++)
			assert_true(isfinite(log_ratios[k]));
	}
}

static void intervals_too_big_to_be_worked_with_say_the_same_in_the_candidates_favour(void **state)
{
	struct fourfold big = {5000000001, 100000000000, 19000000000, 1900000000000}, small = big;
	double of_big[JUDGE_RATIOS], of_small[JUDGE_RATIOS];

	(void)state;
	small.candidate_events /= 20000;
	small.candidate_trials /= 20000;
	small.stable_events /= 20000;
	small.stable_trials /= 20000;
	assert_true(counts_compared(&big, 1.25, 1, of_big));
	assert_true(counts_compared(&small, 1.25, 1, of_small));
	assert_true(of_big[3] <= of_small[3]);
	assert_true(of_big[3] > 0.999 * of_small[3]);
}

#define BURST 3
#define ACCIDENTS 4

/*
 * Of the likelihood ratio where accidents of @sizes fall to the candidate as singles would of so many connections, each
 * of BURST trials, that have @odds: every way to share them out.
 */
static double burst_expectation(int candidate, int stable, const int sizes[ACCIDENTS], double odds, size_t alternative)
{
	double sum = 0, log_ratios[JUDGE_RATIOS];

	for (unsigned int way = 0; way < 1U << ACCIDENTS; way++) {
		int here = __builtin_popcount(way);
		struct fourfold f = {.candidate_trials = (uint64_t)candidate * BURST,
				     .stable_trials = (uint64_t)stable * BURST};

		if (here > candidate || ACCIDENTS - here > stable)
			continue;
		for (int i = 0; i < ACCIDENTS; i++)
			*(way >> i & 1 ? &f.candidate_events : &f.stable_events) += (uint64_t)sizes[i];
		assert_true(counts_compared(&f, 1.25, BURST, log_ratios));
		sum += chance(candidate, stable, ACCIDENTS, here, odds) / choose(ACCIDENTS, here) *
		       exp(log_ratios[alternative]);
	}
	return sum;
}

static void accidents_of_any_sizes_up_to_the_burst_are_no_evidence(void **state)
{
	static const int connections[][2] = {{3, 3}, {1, 9}, {5, 5}, {14, 14}};
	double highest = 0, one;

	(void)state;
	for (int way = 0; way < 3 * 3 * 3 * 3; way++) {
		const int sizes[ACCIDENTS] = {1 + way % 3, 1 + way / 3 % 3, 1 + way / 9 % 3, 1 + way / 27};

		for (size_t i = 0; i < sizeof(connections) / sizeof(*connections); i++) {
			for (size_t k = 0; k < JUDGE_RATIOS; k++) {
				one = burst_expectation(connections[i][0], connections[i][1], sizes, 1.25, k);
				assert_true(one <= 1 + CLOSE);
				highest = fmax(highest, one);
				assert_true(burst_expectation(connections[i][0], connections[i][1], sizes, 1, k) < one);
			}
		}
	}
	assert_true(highest > 0.99); /* or bad versions would never be found */
}

static void full_bursts_say_what_single_accidents_would(void **state)
{
	double of_bursts[JUDGE_RATIOS], of_singles[JUDGE_RATIOS];

	(void)state;
	for (uint64_t got = 0; got <= 12; got++) {
		assert_true(counts_compared(&(struct fourfold){5 * got, 200, 60 - 5 * got, 900}, 2, 5, of_bursts));
		assert_true(counts_compared(&(struct fourfold){got, 200, 12 - got, 900}, 2, 1, of_singles));
		for (size_t i = 0; i < JUDGE_RATIOS; i++)
			assert_close(of_bursts[i], of_singles[i], CLOSE);
	}
}

static double limit_expectation(const struct limit *above, const struct limit *below, double share, size_t i)
{
	double sum = 0, log_ratios[JUDGE_RATIOS];

	for (int got = 0; got <= TRIALS; got++) {
		struct limit a = {{got, TRIALS}, above ? above->share : 0};
		struct limit b = {{TRIALS - got, TRIALS}, below ? below->share : 0};

		assert_true(counts_limited(above ? &a : NULL, below ? &b : NULL, 1, log_ratios));
		sum += choose(TRIALS, got) * pow(share, got) * pow(1 - share, TRIALS - got) * exp(log_ratios[i]);
	}
	return sum;
}

static void a_limit_is_fair_to_those_who_keep_it(void **state)
{
	struct limit max = {.share = 0.3}, min = {.share = 1 - 0.1};

	(void)state;
	for (size_t i = 0; i < JUDGE_RATIOS; i++) {
		assert_close(limit_expectation(&max, NULL, 0.3, i), 1, CLOSE);
		assert_true(limit_expectation(&max, NULL, 0.2, i) < 1);
		assert_true(limit_expectation(&max, NULL, 0.4, i) > 1);
		assert_close(limit_expectation(NULL, &min, 0.1, i), 1, CLOSE);
		assert_true(limit_expectation(NULL, &min, 0.2, i) < 1);
		assert_true(limit_expectation(NULL, &min, 0.05, i) > 1);
		assert_true(limit_expectation(&max, &min, 0.2, i) < 1);
	}
	assert_true(limit_expectation(&max, &min, 0.4, 0) > 1);
	assert_true(limit_expectation(&max, &min, 0.05, 1) > 1);
}

/* Connections of BURST trials that fail as a whole, and such of which a part does. */
static void bursts_are_fair_to_those_who_keep_a_limit(void **state)
{
	double whole[JUDGE_RATIOS] = {0}, part[JUDGE_RATIOS] = {0}, log_ratios[JUDGE_RATIOS], probability;

	(void)state;
	for (int got = 0; got <= TRIALS; got++) {
		struct limit max = {{(uint64_t)got * BURST, TRIALS * BURST}, 0.1};
		struct limit less = {{(uint64_t)got * (BURST - 1), TRIALS * BURST}, 0.1 * (BURST - 1) / BURST};

		probability = choose(TRIALS, got) * pow(0.1, got) * pow(0.9, TRIALS - got);
		assert_true(counts_limited(&max, NULL, BURST, log_ratios));
		for (size_t i = 0; i < JUDGE_RATIOS; i++)
			whole[i] += probability * exp(log_ratios[i]);
		assert_true(counts_limited(&less, NULL, BURST, log_ratios));
		for (size_t i = 0; i < JUDGE_RATIOS; i++)
			part[i] += probability * exp(log_ratios[i]);
	}
	for (size_t i = 0; i < JUDGE_RATIOS; i++) {
		assert_close(whole[i], 1, CLOSE);
		assert_true(part[i] < 1);
	}
}

static void where_nothing_may_go_wrong_one_event_is_proof(void **state)
{
	struct limit limit = {{1, 1000000}, 0};
	double log_ratios[JUDGE_RATIOS];
	struct evidence e = {0};

	(void)state;
	assert_true(counts_limited(&limit, NULL, 1, log_ratios));
	evidence_add(&e, log_ratios);
	assert_true(e.highest > 1e50);
	assert_true(isfinite(e.highest));
}

/* Beginnings and alternatives written out: no recursion. */
static double mixture(const double log_ratios[][JUDGE_RATIOS], int intervals)
{
	double e = 1 / (1 + log2(1 + intervals)), weight, sum;

	for (int begin = 1; begin <= intervals; begin++) {
		weight = 1 / (1 + log2(begin)) - 1 / (1 + log2(1 + begin));
		for (size_t i = 0; i < JUDGE_RATIOS; i++) {
			sum = 0;
			for (int t = begin; t <= intervals; t++)
				sum += log_ratios[t - 1][i];
			e += weight * exp(sum) / JUDGE_RATIOS;
		}
	}
	return e;
}

static void evidence_is_mixed_over_alternatives_and_over_beginnings(void **state)
{
	double log_ratios[40][JUDGE_RATIOS], highest = 0;
	struct evidence e = {0};

	(void)state;
	assert_close(evidence_now(&e), 1, CLOSE);
	for (int t = 0; t < 40; t++) {
		for (size_t i = 0; i < JUDGE_RATIOS; i++)
			log_ratios[t][i] = sin(t * 0.7 + (double)i);
		evidence_add(&e, log_ratios[t]);
		assert_close(evidence_now(&e) / mixture(log_ratios, t + 1), 1, CLOSE);
		highest = fmax(highest, evidence_now(&e));
		assert_close(e.highest, highest, CLOSE);
	}
}

/* Every way that three intervals of four trials a side with the same odds can go, each with its chance. */
static void the_expectation_of_evidence_never_rises_above_1(void **state)
{
	static const int events[3] = {3, 5, 2};
	double log_ratios[JUDGE_RATIOS], sum = 0, probability;

	(void)state;
	for (int way = 0; way < 5 * 5 * 5; way++) {
		const int got[3] = {way % 5, way / 5 % 5, way / 25};
		struct evidence e = {0};

		probability = 1;
		for (int t = 0; t < 3; t++) {
			struct fourfold f;

			if (got[t] > events[t] || events[t] - got[t] > 4) {
				probability = 0;
				break;
			}
			f = fourfold(4, 4, events[t], got[t]);
			probability *= chance(4, 4, events[t], got[t], 1);
			assert_true(counts_compared(&f, 1, 1, log_ratios));
			evidence_add(&e, log_ratios);
		}
		if (probability > 0)
			sum += probability * evidence_now(&e);
	}
	assert_close(sum, 1, CLOSE);
}

static void evidence_stays_finite_whatever_it_is_given(void **state)
{
	static const double extremes[] = {INFINITY, -INFINITY, NAN, 1e300, -1e300, 0};
	double log_ratios[JUDGE_RATIOS];
	struct evidence e = {.intervals = UINT64_MAX - 3, .mixed = {NAN, INFINITY, -5, 1e308}, .highest = NAN};

	(void)state;
	for (size_t t = 0; t < 60; t++) {
		for (size_t i = 0; i < JUDGE_RATIOS; i++)
			log_ratios[i] = extremes[(t + i) % 6];
		evidence_add(&e, log_ratios);
		assert_true(isfinite(e.highest) && isfinite(evidence_now(&e)) && evidence_now(&e) >= 0);
		for (size_t i = 0; i < JUDGE_RATIOS; i++)
			assert_true(isfinite(e.mixed[i]) && e.mixed[i] >= 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_likelihood_ratio_is_the_one_of_all_tables_with_the_same_margins),
		cmocka_unit_test(its_expectation_is_1_at_what_is_tolerated_and_less_below),
		cmocka_unit_test(cutting_off_the_tails_changes_nothing),
		cmocka_unit_test(more_events_of_the_candidate_are_more_evidence),
		cmocka_unit_test(numbers_of_any_size_give_finite_ratios),
		cmocka_unit_test(intervals_too_big_to_be_worked_with_say_the_same_in_the_candidates_favour),
		cmocka_unit_test(accidents_of_any_sizes_up_to_the_burst_are_no_evidence),
		cmocka_unit_test(full_bursts_say_what_single_accidents_would),
		cmocka_unit_test(a_limit_is_fair_to_those_who_keep_it),
		cmocka_unit_test(bursts_are_fair_to_those_who_keep_a_limit),
		cmocka_unit_test(where_nothing_may_go_wrong_one_event_is_proof),
		cmocka_unit_test(evidence_is_mixed_over_alternatives_and_over_beginnings),
		cmocka_unit_test(the_expectation_of_evidence_never_rises_above_1),
		cmocka_unit_test(evidence_stays_finite_whatever_it_is_given),
	};

	return cmocka_run_group_tests_name("judge_counts", tests, NULL, NULL);
}
