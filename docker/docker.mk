# docker.mk: the container image and the fresh clone, built and started for real.

.PHONY: docker-check fresh-clone-check
docker-check: ## build the image, start it, enroll and identify one photo (needs root or a container engine)
	@docker/check-image
fresh-clone-check: ## the README's two commands on a clean clone, here and in a bare Debian 13 (needs root)
	@docker/check-clone
