/* SPDX-License-Identifier: MIT */
/* Groups: limits that several ports share. */
#include "vswitch.h"

#include <stdlib.h>
#include <string.h>

/* What the group has now; nothing if it is yet to be made. */
static void group_get(struct vswitch *s, const char *name, struct policy *p)
{
	VIO_OPTS(vio_switch_limits, l);
	const char *at;

	policy_init(p);
	for (unsigned i = 0; (at = vio_switch_group_at(s->sw, i, &l)); i++)
		if (!strcmp(at, name))
			policy_limits(p, &l);
}

static int group_change(struct policy *p, char *word, char why[WHY_SIZE])
{
	char *value = strchr(word, '=');

	if (value)
		*value++ = 0;
	if (!value || (strcmp(word, "packets") && strcmp(word, "bytes") && strcmp(word, "storm")))
		return refuse(why, "'%.64s': expected packets=, bytes= or storm=RATE[/BURST]", word);
	return policy_set(p, word, value, why) < 0 ? -1 : 0;
}

int group_set(struct vswitch *s, const char *name, char **words, unsigned n, char why[WHY_SIZE])
{
	struct policy p;

	if (!name_is_good(name))
		return refuse(why, "a group cannot be called '%.64s'", name);
	group_get(s, name, &p);
	for (unsigned i = 0; i < n; i++)
		if (group_change(&p, words[i], why))
			return -1;
	VIO_OPTS(vio_switch_limits, l, .packets = p.packets, .bytes = p.bytes, .storm = p.storm);
	return vio_switch_group_set(s->sw, name, &l) ? refuse(why, "%s", vio_errmsg()) : 0;
}

int group_del(struct vswitch *s, const char *name, char why[WHY_SIZE])
{
	return vio_switch_group_del(s->sw, name) ? refuse(why, "%s", vio_errmsg()) : 0;
}

/* "NAME,packets=1M,..." */
static int group_open(struct vswitch *s, char *text, char why[WHY_SIZE])
{
	char *words[3], *save = NULL, *name = strtok_r(text, ",", &save);
	unsigned n = 0;

	while (n < 3 && (words[n] = strtok_r(NULL, ",", &save)))
		n++;
	if (strtok_r(NULL, ",", &save))
		return refuse(why, "expected NAME and at most packets=, bytes= and storm=");
	return group_set(s, name ? name : "", words, n, why);
}

int groups_open(struct vswitch *s, char why[WHY_SIZE])
{
	int rc = 0;

	for (unsigned i = 0; i < s->o.ngroups && !rc; i++) {
		char *text = strdup(s->o.groups[i]);

		rc = text ? group_open(s, text, why) : refuse(why, "out of memory");
		free(text);
	}
	return rc;
}
