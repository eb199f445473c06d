// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What became of a service's mirrored connections. */
#include "report.h"
#include "shadow_figures.h"

json_t *report_mirrored(const struct report_view *view, const struct service_model *s)
{
	uint32_t id = splitter_service_id(view->splitter, s);
	json_t *object = report_shadow(view->splitter, s);
	struct shadow_counters counters;

	if (shadow_figures(view->splitter, id, &counters)) {
		json_decref(object);
		return NULL;
	}
	shadow_figures_set(&counters, shadow_sweep_mirroring(view->shadow_sweep, id), object);
	return object;
}
